/* SPDX-License-Identifier: MIT */
/* What the parts of the parser share: where it stands, and the way out. */
#ifndef FAAS_FILTER_PARSE_H
#define FAAS_FILTER_PARSE_H

#include "filter/lex.h"
#include "filter/program.h"

struct parser {
	struct lexer lexer;
	struct token token; /* the next one */
	struct builder *builder;
	struct faas_filter_error_stats *report; /* code FAAS_OK: none yet */
	uint32_t flags;
	uint32_t depth;
	int error; /* the first one; from then on the next token is the end */
};

/* Takes the next token. */
struct token faas__filter_take(struct parser *parser);

/* Notes an error, and what was expected where; NULL: the limit that `code` stands for. */
void faas__filter_give_up(struct parser *parser, int code, const struct token *where, const char *expected);

/* An integer, whose sign was taken, or NULL; a string for the instruction; an attribute, or whether there is one.
 * The type of its values. */
uint32_t faas__filter_parse_integer(struct parser *parser, const struct token *sign);
uint32_t faas__filter_parse_string(struct parser *parser, struct instruction instruction, uint32_t takes);
uint32_t faas__filter_parse_attribute(struct parser *parser, const struct token *name, bool exists);

/* Fills a report in: "expected ..., found ...". */
void faas__filter_report(struct faas_filter_error_stats *report, int code, const char *expression,
                         const struct token *where, const char *expected);

#endif

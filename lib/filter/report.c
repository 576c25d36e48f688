/* SPDX-License-Identifier: MIT */
/*
 * What is wrong with an expression, in one line: what was expected, what stood there instead, and where. The line has
 * a fixed size, so what stood there is cut, between characters; control characters in it become question marks, since
 * whoever logs the line does not expect any.
 *
 * The parser's way out is here as well: after an error there are no tokens left. Handing a code up through every
 * function of the grammar would double their length, and longjmp is not for a library.
 */
#include <stdio.h>
#include <string.h>

#include "filter/parse.h"
#include "filter/text.h"

#define FOUND_MAX 30u /* bytes shown of what was found */

#define TEXT_OF(number) #number
#define TEXT(macro) TEXT_OF(macro)

/* Limits have one text each. NULL: not a limit. */
static const char *limit_text(int code)
{
	switch (code) {
	case FAAS_EFILTERLONG:
		return "expected at most " TEXT(FAAS_MAX_FILTER) " bytes";
	case FAAS_EFILTERDEPTH:
		return "expected at most " TEXT(FAAS_MAX_FILTER_DEPTH) " operands inside each other";
	case FAAS_EFILTERVALUES:
		return "expected at most " TEXT(FAAS_MAX_FILTER_VALUES) " operands that wait for each other";
	case FAAS_EFILTERSIZE:
		return "expected an expression that takes at most " TEXT(FAAS_MAX_FILTER_PROGRAM) " bytes when compiled";
	case FAAS_ETEXT:
		return "expected UTF-8";
	default:
		return NULL;
	}
}

/* What stands at a token, as a message shows it. */
static void show(const char *text, uint32_t bytes, char *to, size_t size)
{
	size_t shown = bytes;

	if (shown > FOUND_MAX) {
		shown = FOUND_MAX;
		while (!faas__filter_is_start(text[shown]))
			shown--;
	}
	(void)snprintf(to, size, "%.*s%s", (int)shown, text, shown < bytes ? "..." : "");
	for (char *c = to; *c != 0; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
}

static void write_message(struct faas_filter_error_stats *report, const char *expression, const struct token *where,
                          const char *expected)
{
	char found[FOUND_MAX + 8];
	/* A string has quotes of its own. */
	bool is_plain = where->kind == TOKEN_END || where->kind == TOKEN_STRING;
	const char *quote = is_plain ? "" : "\"";

	show(expression + where->at, where->bytes, found, sizeof(found));
	(void)snprintf(report->message, sizeof(report->message), "expected %s, found %s%s%s", expected, quote,
	               where->kind == TOKEN_END ? "the end" : found, quote);
}

void faas__filter_report(struct faas_filter_error_stats *report, int code, const char *expression,
                         const struct token *where, const char *expected)
{
	const char *text = limit_text(code);

	report->code = code;
	report->position = where->at;
	if (!text && where->kind == TOKEN_UNCLOSED)
		text = "expected a quote that ends this string";
	if (text)
		(void)snprintf(report->message, sizeof(report->message), "%s", text);
	else
		write_message(report, expression, where, expected);
}

/* ---- The way out ------------------------------------------------------------------------------------------------- */

void faas__filter_give_up(struct parser *parser, int code, const struct token *where, const char *expected)
{
	if (parser->error != FAAS_OK)
		return;
	parser->error = code;
	parser->builder->error = code; /* operands may be missing from now on */
	if (code != FAAS_ENOMEM)
		faas__filter_report(parser->report, code, parser->lexer.text, where, expected);
	while (parser->token.kind != TOKEN_END)
		faas__filter_lex(&parser->lexer, &parser->token);
}

/* The builder's errors are noticed at the next token, which is near enough to tell where. */
struct token faas__filter_take(struct parser *parser)
{
	struct token token = parser->token;

	if (parser->builder->error != FAAS_OK)
		faas__filter_give_up(parser, parser->builder->error, &token, NULL);
	else
		faas__filter_lex(&parser->lexer, &parser->token);
	return token;
}

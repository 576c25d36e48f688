/* SPDX-License-Identifier: MIT */
/*
 * Literals and names, from the text into the program. They are written where they will stay: a string loses its
 * escapes, a name its capitals on the way, so none needs a buffer of the expression's size.
 *
 * Rules: CESQL v1, 2.2 "Value identifiers and literals", 3.2 "CloudEvent context identifiers and types".
 */
#include "filter/parse.h"
#include "filter/run.h"

static const char *text_of(const struct parser *parser, const struct token *token)
{
	return parser->lexer.text + token->at;
}

uint32_t faas__filter_parse_integer(struct parser *parser, const struct token *sign)
{
	bool negative = sign && sign->kind == TOKEN_MINUS;
	struct token token = parser->token;
	int64_t sum = 0;

	for (uint32_t i = 0; i < token.bytes && sum <= INT32_MAX; i++)
		sum = sum * 10 + (text_of(parser, &token)[i] - '0');
	if (sum > (int64_t)INT32_MAX + negative)
		faas__filter_give_up(parser, FAAS_EFILTER, &token, "an integer from -2147483648 to 2147483647");
	(void)faas__filter_take(parser);
	sum = negative ? -sum : sum;
	faas__filter_emit(parser->builder, (struct instruction){.operation = OP_INTEGER, .a = (uint32_t)sum}, 0);
	return FAAS_ATTRIBUTE_INTEGER;
}

/* Writes what a string with its quotes stands for. Its bytes. */
static size_t unescape(const char *text, size_t bytes, char *to)
{
	size_t length = 0;

	for (size_t i = 1; i + 1 < bytes; i++) {
		if (text[i] == '\\' && text[++i] != text[0]) /* a pair, so it does not end at the backslash */
			to[length++] = '\\';
		to[length++] = text[i];
	}
	return length;
}

uint32_t faas__filter_parse_string(struct parser *parser, struct instruction instruction, uint32_t takes)
{
	struct token token = faas__filter_take(parser);
	const char *text = text_of(parser, &token);
	char *to = faas__filter_text_begin(parser->builder, token.bytes + LIKE_HEADER);
	size_t bytes;

	if (!to)
		return FAAS_ATTRIBUTE_STRING;
	if (instruction.operation == OP_LIKE)
		bytes = faas__filter_like_prepare(to, unescape(text, token.bytes, to + LIKE_HEADER));
	else
		bytes = unescape(text, token.bytes, to);
	faas__filter_text_end(parser->builder, instruction, takes, bytes);
	return FAAS_ATTRIBUTE_STRING;
}

static void emit_extension(struct parser *parser, const struct token *name, bool exists)
{
	const char *text = text_of(parser, name);
	char *to = faas__filter_text_begin(parser->builder, name->bytes);

	if (!to)
		return;
	for (uint32_t i = 0; i < name->bytes; i++)
		to[i] = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] | 32) : text[i];
	faas__filter_text_end(parser->builder,
	                      (struct instruction){.operation = exists ? OP_EXISTS_EXTENSION : OP_EXTENSION}, 0,
	                      name->bytes);
}

static void emit_attribute(struct parser *parser, enum context_attribute attribute, bool exists)
{
	struct instruction instruction = {.operation = exists ? OP_EXISTS : OP_ATTRIBUTE, .flag = (uint8_t)attribute};

	if (exists && attribute <= ATTRIBUTE_SPECVERSION)
		instruction = (struct instruction){.operation = OP_BOOLEAN, .flag = true};
	faas__filter_emit(parser->builder, instruction, 0);
}

uint32_t faas__filter_parse_attribute(struct parser *parser, const struct token *name, bool exists)
{
	const char *text = text_of(parser, name);
	enum context_attribute attribute = faas__filter_attribute_find(text, name->bytes);

	for (uint32_t i = 0; i < name->bytes; i++)
		if (text[i] == '_')
			faas__filter_give_up(parser, FAAS_EFILTER, name, "an attribute's name of letters and digits");
	if (attribute == ATTRIBUTE_EXTENSION)
		emit_extension(parser, name, exists);
	else
		emit_attribute(parser, attribute, exists);
	if (exists)
		return FAAS_ATTRIBUTE_BOOLEAN;
	return attribute == ATTRIBUTE_EXTENSION ? TYPE_ANY : FAAS_ATTRIBUTE_STRING;
}

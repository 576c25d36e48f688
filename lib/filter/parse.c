/* SPDX-License-Identifier: MIT */
/*
 * The grammar: a recursive descent that writes the program as it goes. There is no tree: on a stack machine operands
 * come before their operator as they do in the text, and the two things that would want to look ahead are settled by a
 * jump that is filled in later (AND, OR) and by taking back what was written (the arguments of an unknown function).
 *
 *     binary  := postfix { operator binary-of-higher-rank }       climbing; all operators go from left to right
 *     postfix := unary { [NOT] LIKE string | [NOT] IN "(" binary { "," binary } ")" }
 *     unary   := (NOT | "-") unary | EXISTS name | primary
 *     primary := literal | name | function "(" [ binary { "," binary } ] ")" | "(" binary ")"
 *
 * Recursion is counted and ends at FAAS_MAX_FILTER_DEPTH; a chain such as `a AND b AND c` does not nest. After the
 * first error the next token is the end, for ever, so every loop ends without asking.
 *
 * Rules: CESQL v1, 2 "Language syntax", and 3.6 "Evaluation of the expression" for precedence: NOT and `-` before LIKE
 * and IN, these before `*`, and AND, OR and XOR of one rank. A sign belongs to the number right behind it where an
 * operand is due, so that -2147483648 can be written; elsewhere it is an operator. Types are followed as far as they
 * are known without an event, for FAAS_FILTER_PREDICATE and for the zero of the whole expression.
 */
#include "filter/parse.h"

#include "filter/run.h"

static uint32_t parse_binary(struct parser *parser, unsigned rank);

/* ---- Tokens and errors ------------------------------------------------------------------------------------------- */

static void fail(struct parser *parser, const char *expected)
{
	faas__filter_give_up(parser, FAAS_EFILTER, &parser->token, expected);
}

static void expect(struct parser *parser, uint32_t kind, const char *expected)
{
	if (parser->token.kind != kind)
		fail(parser, expected);
	else
		(void)faas__filter_take(parser);
}

/* Counts the levels of recursion. False: there are too many. */
static bool enter(struct parser *parser)
{
	if (parser->depth == FAAS_MAX_FILTER_DEPTH) {
		faas__filter_give_up(parser, FAAS_EFILTERDEPTH, &parser->token, NULL);
		return false;
	}
	parser->depth++;
	return true;
}

static void emit(struct parser *parser, enum operation operation, bool flag, uint32_t takes)
{
	struct instruction instruction = {.operation = (uint8_t)operation, .flag = flag};

	faas__filter_emit(parser->builder, instruction, takes);
}

/* ---- Calls ------------------------------------------------------------------------------------------------------- */

/* Expressions up to the closing parenthesis: arguments, or elements of a set. How many. */
static size_t parse_list(struct parser *parser, bool is_set)
{
	size_t count = 0;

	do {
		if (count > 0)
			(void)faas__filter_take(parser);
		(void)parse_binary(parser, 0);
		if (is_set)
			emit(parser, OP_ELEMENT, false, 2);
		count++;
	} while (parser->token.kind == TOKEN_COMMA);
	expect(parser, TOKEN_CLOSE, "an operator, \",\" or \")\"");
	return count;
}

static void check_function_name(struct parser *parser, const struct token *name)
{
	for (uint32_t i = 0; i < name->bytes; i++) {
		char c = parser->lexer.text[name->at + i];

		if ((c >= '0' && c <= '9') || (i == 0 && c == '_'))
			faas__filter_give_up(parser, FAAS_EFILTER, name, "a function's name of letters and underscores");
	}
}

static uint32_t parse_call(struct parser *parser, const struct token *name)
{
	struct builder_mark mark = faas__filter_mark(parser->builder);
	struct instruction instruction = {.operation = OP_CALL};
	uint32_t type = FAAS_ATTRIBUTE_BOOLEAN;
	size_t count = 0;
	int function;

	check_function_name(parser, name);
	(void)faas__filter_take(parser);
	if (parser->token.kind == TOKEN_CLOSE)
		(void)faas__filter_take(parser);
	else
		count = parse_list(parser, false);
	function = faas__filter_function_find(parser->lexer.text + name->at, name->bytes, count, &type);
	if (function < 0) {
		if ((parser->flags & FAAS_FILTER_PREDICATE) != 0)
			faas__filter_give_up(parser, FAAS_EFILTERFUNCTION, name, "a function that takes these arguments");
		faas__filter_rewind(parser->builder, mark);
		emit(parser, OP_NO_FUNCTION, false, 0);
		return type;
	}
	instruction.flag = (uint8_t)count;
	instruction.b = (uint16_t)function;
	faas__filter_emit(parser->builder, instruction, (uint32_t)count);
	return type;
}

/* ---- Operands ---------------------------------------------------------------------------------------------------- */

static uint32_t parse_word(struct parser *parser)
{
	struct token name = faas__filter_take(parser);

	if (parser->token.kind == TOKEN_OPEN)
		return parse_call(parser, &name);
	return faas__filter_parse_attribute(parser, &name, false);
}

static uint32_t parse_exists(struct parser *parser)
{
	struct token name;

	(void)faas__filter_take(parser);
	if (parser->token.kind != TOKEN_WORD && parser->token.kind != TOKEN_INTEGER) {
		fail(parser, "an attribute's name");
		return FAAS_ATTRIBUTE_BOOLEAN;
	}
	name = faas__filter_take(parser);
	return faas__filter_parse_attribute(parser, &name, true);
}

static uint32_t parse_parentheses(struct parser *parser)
{
	uint32_t type;

	(void)faas__filter_take(parser);
	type = parse_binary(parser, 0);
	expect(parser, TOKEN_CLOSE, "an operator or \")\"");
	return type;
}

static uint32_t parse_primary(struct parser *parser)
{
	switch (parser->token.kind) {
	case TOKEN_STRING:
		return faas__filter_parse_string(parser, (struct instruction){.operation = OP_STRING}, 0);
	case TOKEN_INTEGER:
		return faas__filter_parse_integer(parser, NULL);
	case TOKEN_TRUE:
	case TOKEN_FALSE:
		emit(parser, OP_BOOLEAN, faas__filter_take(parser).kind == TOKEN_TRUE, 0);
		return FAAS_ATTRIBUTE_BOOLEAN;
	case TOKEN_WORD:
		return parse_word(parser);
	case TOKEN_EXISTS:
		return parse_exists(parser);
	case TOKEN_OPEN:
		return parse_parentheses(parser);
	default:
		fail(parser, "an operand");
		return TYPE_ANY;
	}
}

/* A minus that belongs to no literal negates; a plus belongs to a literal. */
static uint32_t parse_unary(struct parser *parser)
{
	struct token sign = parser->token;

	if (sign.kind != TOKEN_NOT && sign.kind != TOKEN_MINUS && sign.kind != TOKEN_PLUS)
		return parse_primary(parser);
	(void)faas__filter_take(parser);
	if (sign.kind != TOKEN_NOT && parser->token.kind == TOKEN_INTEGER && parser->token.at == sign.at + 1)
		return faas__filter_parse_integer(parser, &sign);
	if (sign.kind == TOKEN_PLUS)
		fail(parser, "digits");
	if (!enter(parser))
		return TYPE_ANY;
	(void)parse_unary(parser);
	emit(parser, sign.kind == TOKEN_NOT ? OP_NOT : OP_NEGATE, false, 1);
	parser->depth--;
	return sign.kind == TOKEN_NOT ? FAAS_ATTRIBUTE_BOOLEAN : FAAS_ATTRIBUTE_INTEGER;
}

/* ---- Operators --------------------------------------------------------------------------------------------------- */

static void parse_like(struct parser *parser, bool negated)
{
	(void)faas__filter_take(parser);
	if (parser->token.kind != TOKEN_STRING)
		fail(parser, "a string literal");
	else
		(void)faas__filter_parse_string(parser, (struct instruction){.operation = OP_LIKE, .flag = negated}, 1);
}

static void parse_in(struct parser *parser, bool negated)
{
	(void)faas__filter_take(parser);
	emit(parser, OP_IN, false, 0);
	expect(parser, TOKEN_OPEN, "\"(\"");
	(void)parse_list(parser, true);
	emit(parser, OP_END_IN, negated, 2);
}

static uint32_t parse_postfix(struct parser *parser)
{
	uint32_t type = parse_unary(parser), kind;

	while ((kind = parser->token.kind) == TOKEN_LIKE || kind == TOKEN_IN || kind == TOKEN_NOT) {
		if (kind == TOKEN_NOT)
			(void)faas__filter_take(parser);
		if (parser->token.kind == TOKEN_LIKE)
			parse_like(parser, kind == TOKEN_NOT);
		else if (parser->token.kind == TOKEN_IN)
			parse_in(parser, kind == TOKEN_NOT);
		else
			fail(parser, "LIKE or IN");
		type = FAAS_ATTRIBUTE_BOOLEAN;
	}
	return type;
}

struct infix {
	uint8_t token, operation, rank, negated;
};

static const struct infix *find_infix(uint32_t token)
{
	static const struct infix infixes[] = {
		{TOKEN_AND, OP_AND, 1, 0},         {TOKEN_OR, OP_OR, 1, 0},
		{TOKEN_XOR, OP_XOR, 1, 0},         {TOKEN_EQUAL, OP_EQUAL, 2, 0},
		{TOKEN_NOT_EQUAL, OP_EQUAL, 2, 1}, {TOKEN_LESS, OP_LESS, 2, 0},
		{TOKEN_GREATER, OP_GREATER, 2, 0}, {TOKEN_LESS_EQUAL, OP_LESS_EQUAL, 2, 0},
		{TOKEN_PLUS, OP_ADD, 3, 0},        {TOKEN_GREATER_EQUAL, OP_GREATER_EQUAL, 2, 0},
		{TOKEN_MINUS, OP_SUBTRACT, 3, 0},  {TOKEN_STAR, OP_MULTIPLY, 4, 0},
		{TOKEN_SLASH, OP_DIVIDE, 4, 0},    {TOKEN_PERCENT, OP_REMAINDER, 4, 0},
	};

	for (size_t i = 0; i < sizeof(infixes) / sizeof(infixes[0]); i++)
		if (infixes[i].token == token)
			return &infixes[i];
	return NULL;
}

/* The operator and its right side. */
static uint32_t parse_infix(struct parser *parser, const struct infix *infix)
{
	bool jumps = infix->operation == OP_AND || infix->operation == OP_OR;
	size_t jump = 0;

	(void)faas__filter_take(parser);
	if (jumps)
		jump = faas__filter_emit_jump(parser->builder, infix->operation);
	(void)parse_binary(parser, infix->rank + 1u);
	if (jumps) {
		emit(parser, OP_TRUTH, false, 1);
		faas__filter_land(parser->builder, jump);
	} else {
		emit(parser, infix->operation, infix->negated, 2);
	}
	return infix->rank >= 3 ? FAAS_ATTRIBUTE_INTEGER : FAAS_ATTRIBUTE_BOOLEAN;
}

static uint32_t parse_binary(struct parser *parser, unsigned rank)
{
	const struct infix *infix;
	uint32_t type;

	if (!enter(parser))
		return TYPE_ANY;
	type = parse_postfix(parser);
	while ((infix = find_infix(parser->token.kind)) != NULL && infix->rank >= rank)
		type = parse_infix(parser, infix);
	parser->depth--;
	return type;
}

/* ---- The whole --------------------------------------------------------------------------------------------------- */

int faas__filter_parse(struct builder *builder, const char *expression, uint32_t flags, uint32_t *ret_type,
                       struct faas_filter_error_stats *report)
{
	struct parser parser = {.lexer = {.text = expression}, .builder = builder, .report = report, .flags = flags};
	struct token first;
	uint32_t type;

	faas__filter_lex(&parser.lexer, &parser.token);
	first = parser.token;
	type = parse_binary(&parser, 0);
	if (parser.token.kind != TOKEN_END)
		fail(&parser, "an operator or the end");
	(void)faas__filter_take(&parser); /* for an error of the builder at the very end */
	if ((flags & FAAS_FILTER_PREDICATE) != 0 && type == FAAS_ATTRIBUTE_INTEGER)
		faas__filter_give_up(&parser, FAAS_EFILTER, &first, "a Boolean expression, not one that yields an Integer");
	if ((flags & FAAS_FILTER_PREDICATE) != 0 && type == FAAS_ATTRIBUTE_STRING)
		faas__filter_give_up(&parser, FAAS_EFILTER, &first, "a Boolean expression, not one that yields a String");
	*ret_type = type;
	return parser.error;
}

/* SPDX-License-Identifier: MIT */
/*
 * Cuts an expression into tokens, one at a time, without copying or allocating: a token is a place in the text.
 *
 * A sign is always a token of its own, and the parser decides whether it belongs to the number behind it. Taking `-1`
 * as one token, as the specification's grammar for integer literals suggests, would make `a -1` two operands without an
 * operator between them.
 *
 * In a string, a backslash and whatever follows it go together, so `'\''` and `'\\'` both end where they seem to.
 *
 * Rules: CESQL v1, 2.2 "Value identifiers and literals", 2.3 "Operators", 2.4 "Function invocations"; keywords in any
 * case, 2 "Language syntax". Space is what the specification's lexer skips: blank, tab, carriage return, line feed.
 */
#include "filter/lex.h"

#include <stdbool.h>

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 32) : c;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
	return (lower(c) >= 'a' && lower(c) <= 'z') || is_digit(c) || c == '_';
}

int faas__filter_same_word(const char *text, size_t bytes, const char *other)
{
	for (size_t i = 0; i < bytes; i++)
		if (other[i] == 0 || lower(text[i]) != lower(other[i]))
			return 0;
	return other[bytes] == 0;
}

static uint32_t word_kind(const char *text, size_t bytes)
{
	static const struct {
		char word[7];
		uint8_t kind;
	} keywords[] = {
		{"and", TOKEN_AND},       {"or", TOKEN_OR},     {"xor", TOKEN_XOR},
		{"not", TOKEN_NOT},       {"like", TOKEN_LIKE}, {"in", TOKEN_IN},
		{"exists", TOKEN_EXISTS}, {"true", TOKEN_TRUE}, {"false", TOKEN_FALSE},
	};

	for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++)
		if (faas__filter_same_word(text, bytes, keywords[i].word))
			return keywords[i].kind;
	for (size_t i = 0; i < bytes; i++)
		if (!is_digit(text[i]))
			return TOKEN_WORD;
	return TOKEN_INTEGER;
}

static void lex_word(const char *text, struct token *token)
{
	token->bytes = 1;
	while (is_word(text[token->bytes]))
		token->bytes++;
	token->kind = word_kind(text, token->bytes);
}

static void lex_string(const char *text, struct token *token)
{
	uint32_t i = 1;

	while (text[i] != 0 && text[i] != text[0])
		i += text[i] == '\\' && text[i + 1] != 0 ? 2 : 1;
	token->kind = text[i] != 0 ? TOKEN_STRING : TOKEN_UNCLOSED;
	token->bytes = text[i] != 0 ? i + 1 : i;
}

static void lex_sign(const char *text, struct token *token)
{
	static const struct {
		char sign[3];
		uint8_t kind;
	} signs[] = {
		{"<=", TOKEN_LESS_EQUAL}, {"<>", TOKEN_NOT_EQUAL}, {">=", TOKEN_GREATER_EQUAL}, {"!=", TOKEN_NOT_EQUAL},
		{"<", TOKEN_LESS},        {">", TOKEN_GREATER},    {"=", TOKEN_EQUAL},          {"(", TOKEN_OPEN},
		{")", TOKEN_CLOSE},       {",", TOKEN_COMMA},      {"+", TOKEN_PLUS},           {"-", TOKEN_MINUS},
		{"*", TOKEN_STAR},        {"/", TOKEN_SLASH},      {"%", TOKEN_PERCENT},
	};

	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
		token->bytes = signs[i].sign[1] != 0 ? 2 : 1;
		token->kind = signs[i].kind;
		if (text[0] == signs[i].sign[0] && (token->bytes == 1 || text[1] == signs[i].sign[1]))
			return;
	}
	token->kind = TOKEN_BAD;
	token->bytes = 1;
	while (((unsigned char)text[token->bytes] & 0xc0) == 0x80) /* the rest of a character */
		token->bytes++;
}

void faas__filter_lex(struct lexer *lexer, struct token *ret_token)
{
	const char *text = lexer->text + lexer->at;

	while (*text == ' ' || *text == '\t' || *text == '\r' || *text == '\n')
		text++;
	*ret_token = (struct token){.kind = TOKEN_END, .at = (uint32_t)(text - lexer->text)};
	if (is_word(*text))
		lex_word(text, ret_token);
	else if (*text == '\'' || *text == '"')
		lex_string(text, ret_token);
	else if (*text != 0)
		lex_sign(text, ret_token);
	lexer->at = ret_token->at + ret_token->bytes;
}

/* SPDX-License-Identifier: MIT */
/* The words and signs of an expression. */
#ifndef FAAS_FILTER_LEX_H
#define FAAS_FILTER_LEX_H

#include <stddef.h>
#include <stdint.h>

enum token_kind {
	TOKEN_END,
	TOKEN_BAD,      /* a character that begins no token */
	TOKEN_UNCLOSED, /* a string without its closing quote */
	TOKEN_STRING,   /* with its quotes */
	TOKEN_INTEGER,  /* digits only */
	TOKEN_WORD,     /* letters, digits, underscores: an attribute or a function */
	TOKEN_OPEN,
	TOKEN_CLOSE,
	TOKEN_COMMA,
	TOKEN_PLUS,
	TOKEN_MINUS,
	TOKEN_STAR,
	TOKEN_SLASH,
	TOKEN_PERCENT,
	TOKEN_EQUAL,
	TOKEN_NOT_EQUAL,
	TOKEN_LESS,
	TOKEN_LESS_EQUAL,
	TOKEN_GREATER,
	TOKEN_GREATER_EQUAL,
	TOKEN_AND,
	TOKEN_OR,
	TOKEN_XOR,
	TOKEN_NOT,
	TOKEN_LIKE,
	TOKEN_IN,
	TOKEN_EXISTS,
	TOKEN_TRUE,
	TOKEN_FALSE,
};

struct token {
	uint32_t kind;
	uint32_t at; /* bytes from the start of the expression */
	uint32_t bytes;
};

struct lexer {
	const char *text; /* NUL-terminated */
	uint32_t at;
};

/* Takes the next token. At the end it is TOKEN_END, again and again. */
void faas__filter_lex(struct lexer *lexer, struct token *ret_token);

/* Whether two texts are equal but for the case of ASCII letters. `other` is NUL-terminated. */
int faas__filter_same_word(const char *text, size_t bytes, const char *other);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Reads the command line: options anywhere, `--name value` or `--name=value`, everything after `--` a folder.
 */
#include "options.h"

#include <stdio.h>
#include <string.h>

#include <faas.h>

#define DEFAULT_SIZE 128
#define MAX_SIZE 4096
#define DEFAULT_DEADLINE_MS 60000
#define MAX_DEADLINE_MS 86400000

static const char usage[] = "usage: thumbnails [--size N] [--deadline MS] IN_DIR OUT_DIR\n";

static const char help[] =
	"Makes a PNG thumbnail in OUT_DIR of every picture in IN_DIR: Netpbm P2, P3, P5 and P6, 8 or 16 bits a sample.\n"
	"\n"
	"  --size N       longest side of a thumbnail in pixels, 1 to 4096 (128); smaller pictures keep their size\n"
	"  --deadline MS  give a picture up after this many milliseconds, 1 to 86400000 (60000)\n"
	"  --help         print this and leave\n"
	"  --version      print the version of libfaas and leave\n"
	"\n"
	"The thumbnail of NAME is OUT_DIR/NAME.png; an older one is replaced. OUT_DIR is made if it is missing, and must\n"
	"not be IN_DIR. Folders inside IN_DIR are skipped.\n"
	"\n"
	"Exit code: 0: all went well; 1: something failed, and stderr says what; 2: the usage was wrong.\n";

/* What follows `--name`, or NULL if the argument is another option. Takes one more argument if there is no `=`. */
static const char *value_of(const char *name, int argc, char **argv, int *at)
{
	const char *argument = argv[*at];
	size_t length = strlen(name);
	if (strncmp(argument, name, length) != 0)
		return NULL;
	if (argument[length] == '=')
		return argument + length + 1;
	if (argument[length] != '\0')
		return NULL;
	return *at + 1 < argc ? argv[++*at] : "";
}

/* A whole number from 1 to `most`, or 0 if the text is anything else. */
static int64_t parse_number(const char *text, int64_t most)
{
	int64_t number = 0;
	if (!*text)
		return 0;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return 0;
		number = number * 10 + (*text - '0');
		if (number > most)
			return 0;
	}
	return number;
}

static int wrong(const char *what, const char *argument)
{
	fprintf(stderr, "thumbnails: %s%s\n%s", what, argument, usage);
	return OPTIONS_WRONG;
}

static int add_folder(struct options *options, const char *path)
{
	if (!*path)
		return wrong("a folder's name is empty", "");
	if (!options->in_dir)
		options->in_dir = path;
	else if (!options->out_dir)
		options->out_dir = path;
	else
		return wrong("one folder too many: ", path);
	return OPTIONS_GO;
}

static int add_option(struct options *options, int argc, char **argv, int *at)
{
	const char *argument = argv[*at];
	const char *value;
	if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0) {
		printf("%s\n%s", usage, help);
		return OPTIONS_DONE;
	}
	if (strcmp(argument, "--version") == 0) {
		int version = faas_version();
		printf("thumbnails, libfaas %d.%d.%d\n", version / 1000000, version / 1000 % 1000, version % 1000);
		return OPTIONS_DONE;
	}
	if ((value = value_of("--size", argc, argv, at))) {
		options->size = (uint32_t)parse_number(value, MAX_SIZE);
		return options->size ? OPTIONS_GO : wrong("--size takes a number from 1 to 4096, not: ", value);
	}
	if ((value = value_of("--deadline", argc, argv, at))) {
		options->deadline_ms = parse_number(value, MAX_DEADLINE_MS);
		return options->deadline_ms ? OPTIONS_GO : wrong("--deadline takes 1 to 86400000 ms, not: ", value);
	}
	return wrong("unknown option: ", argument);
}

int options_parse(struct options *options, int argc, char **argv)
{
	int only_folders = 0;
	int result = OPTIONS_GO;
	*options = (struct options){.size = DEFAULT_SIZE, .deadline_ms = DEFAULT_DEADLINE_MS};
	for (int at = 1; at < argc && result == OPTIONS_GO; at++) {
		if (only_folders || argv[at][0] != '-')
			result = add_folder(options, argv[at]);
		else if (strcmp(argv[at], "--") == 0)
			only_folders = 1;
		else
			result = add_option(options, argc, argv, &at);
	}
	if (result == OPTIONS_GO && !options->out_dir)
		return wrong("two folders are needed", "");
	return result;
}

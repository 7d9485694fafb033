#pragma once
/*
 * web_file - which file of the dashboard an address names, below WEB_ROOT.
 *
 * A page of the dashboard has no file of its own: its router starts from index.html.
 */
#include <stdbool.h>

struct web_file {
    char path[4096];
    const char *type;
    bool lasting; /* its name changes with its content */
};

/* 0 or ERR_NOT_FOUND. */
int web_file_find(const char *root, const char *address, struct web_file *ret_file);

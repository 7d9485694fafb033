#include "node/web_file.h"
#include "proto/err.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char html[] = "text/html; charset=utf-8";

static const char *type_of(const char *path)
{
    static const char *const types[][2] = {{".html", html},
                                           {".js", "text/javascript; charset=utf-8"},
                                           {".css", "text/css; charset=utf-8"},
                                           {".svg", "image/svg+xml"},
                                           {".json", "application/json"},
                                           {".ico", "image/x-icon"},
                                           {".png", "image/png"},
                                           {".woff2", "font/woff2"},
                                           {".txt", "text/plain; charset=utf-8"},
                                           {".map", "application/json"}};
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot != NULL && i < sizeof types / sizeof *types; i++)
        if (strcmp(dot, types[i][0]) == 0)
            return types[i][1];
    return NULL;
}

int web_file_find(const char *root, const char *address, struct web_file *ret_file)
{
    const char *type = type_of(address);
    ret_file->type = type != NULL ? type : html;
    ret_file->lasting = type != NULL && strncmp(address, "/assets/", 8) == 0;
    int n = snprintf(ret_file->path, sizeof ret_file->path, "%s%s", root,
                     type != NULL ? address : "/index.html");
    bool fits = n > 0 && (size_t)n < sizeof ret_file->path;
    return !fits || strstr(address, "..") != NULL || access(ret_file->path, R_OK) != 0
               ? ERR_NOT_FOUND
               : 0;
}

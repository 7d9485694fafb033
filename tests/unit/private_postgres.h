#pragma once
/*
 * private_postgres - a PostgreSQL server of the test's own, with Gito's schema, in a temporary
 * folder; it listens on a socket in that folder alone, and is gone with the test.
 */
#include "proto/check.h"
#include <glob.h>
#include <libpq-fe.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct private_postgres {
    char folder[64], bin[PATH_MAX], url[256], admin_url[256];
};

static inline bool shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline bool shell(const char *format, ...)
{
    char command[8192];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    return system(command) == 0;
}

/* A server refuses to run as root: then it is user postgres. */
static inline const char *as_postgres(void)
{
    return geteuid() == 0 ? "cd / && runuser -u postgres -- " : "";
}

/* After a kill the start may have to be tried again, until the dead server's memory is free. */
static inline void private_postgres_start(struct private_postgres *self)
{
    for (int tries = 0; tries < 60; tries++) {
        if (shell("%s%s/pg_ctl -D %s/data -l %s/log -w -t 60 start >/dev/null 2>&1 </dev/null",
                  as_postgres(), self->bin, self->folder, self->folder))
            return;
        usleep(100000);
    }
    shell("cat %s/log >&2", self->folder);
    fprintf(stderr, "PostgreSQL does not start\n");
    abort();
}

static inline void private_postgres_kill(struct private_postgres *self)
{
    char path[128];
    snprintf(path, sizeof path, "%s/data/postmaster.pid", self->folder);
    FILE *file = fopen(path, "r");
    int pid = 0;
    CHECK(file != NULL && fscanf(file, "%d", &pid) == 1 && pid > 1);
    fclose(file);
    CHECK(kill(pid, SIGKILL) == 0);
    /* Not our child: whoever adopts it reaps it. */
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    for (int i = 0; i < 1000; i++) {
        char state = 'Z';
        file = fopen(path, "r");
        if (file != NULL) {
            if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
                state = 'Z';
            fclose(file);
        }
        if (state == 'Z')
            break;
        usleep(10000);
    }
    shell("rm -f %s/data/postmaster.pid", self->folder);
}

static inline void private_postgres_find(struct private_postgres *self)
{
    glob_t found;
    CHECK(glob("/usr/lib/postgresql/*/bin/initdb", 0, NULL, &found) == 0);
    snprintf(self->bin, sizeof self->bin, "%s", found.gl_pathv[found.gl_pathc - 1]);
    *strrchr(self->bin, '/') = '\0';
    globfree(&found);
}

static inline void private_postgres_schema(struct private_postgres *self)
{
    CHECK(shell("psql -qX -v ON_ERROR_STOP=1 -h %s -U postgres -d postgres >/dev/null "
                "-c 'CREATE ROLE gito_admin LOGIN CREATEROLE BYPASSRLS' "
                "-c 'CREATE DATABASE gito OWNER gito_admin'",
                self->folder));
    CHECK(shell("cd %s/sql/migrations && for f in *.sql; do psql -qX -1 -v ON_ERROR_STOP=1 "
                "-h %s -U gito_admin -d gito -f \"$f\" >/dev/null || exit 1; done",
                GITO_SOURCE_DIR, self->folder));
}

static inline void private_postgres_new(struct private_postgres *self)
{
    strcpy(self->folder, "/tmp/gito-test-XXXXXX");
    CHECK(mkdtemp(self->folder) != NULL);
    private_postgres_find(self);
    if (geteuid() == 0)
        CHECK(shell("chown postgres: %s", self->folder));
    CHECK(shell("%s%s/initdb -D %s/data -U postgres -A trust -E UTF8 --locale=C.UTF-8 >/dev/null",
                as_postgres(), self->bin, self->folder));
    FILE *settings;
    char path[128];
    snprintf(path, sizeof path, "%s/data/postgresql.conf", self->folder);
    CHECK((settings = fopen(path, "a")) != NULL);
    fprintf(settings, "listen_addresses = ''\nunix_socket_directories = '%s'\n", self->folder);
    CHECK(fclose(settings) == 0 && chmod(self->folder, 0755) == 0);
    private_postgres_start(self);
    snprintf(self->url, sizeof self->url, "host=%s user=gito_app dbname=gito", self->folder);
    snprintf(self->admin_url, sizeof self->admin_url, "host=%s user=gito_admin dbname=gito",
             self->folder);
    private_postgres_schema(self);
}

static inline void private_postgres_destroy(struct private_postgres *self)
{
    shell("%s%s/pg_ctl -D %s/data -m immediate -w stop >/dev/null 2>&1", as_postgres(), self->bin,
          self->folder);
    shell("rm -rf %s", self->folder);
}

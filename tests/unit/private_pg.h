#pragma once
/*
 * private_pg - a PostgreSQL of the test's own: made in a temporary folder, gone with the test.
 *
 * Holds: it listens on a free port of the loopback alone, trusts it, and skips fsync. It ends with
 *        the test's process however that ends (PDEATHSIG).
 */
#include "proto/check.h"
#include <arpa/inet.h>
#include <errno.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PRIVATE_PG_BIN "/usr/lib/postgresql/15/bin/"
#define PRIVATE_PG_DEADLINE_S 60

struct private_pg {
    char folder[64];
    pid_t pid;
    int port;
    char super_url[160], admin_url[160], app_url[160]; /* postgres, gito_admin, gito_app */
};

/* PostgreSQL refuses to run as root. */
static inline void private_pg_become_postgres(void)
{
    const struct passwd *user = getpwnam("postgres");
    if (geteuid() != 0)
        return;
    CHECK(user != NULL && setgid(user->pw_gid) == 0 && setuid(user->pw_uid) == 0);
}

static inline pid_t private_pg_spawn(const struct private_pg *self, char *const argv[])
{
    pid_t parent = getpid(), pid = fork();
    CHECK(pid >= 0);
    if (pid > 0)
        return pid;
    char log[96];
    snprintf(log, sizeof log, "%s/log", self->folder);
    private_pg_become_postgres();
    /* Of the postmaster SIGQUIT is the immediate shutdown; after the change of user, which clears
     * it. */
    prctl(PR_SET_PDEATHSIG, SIGQUIT);
    if (getppid() != parent || freopen(log, "a", stdout) == NULL ||
        dup2(STDOUT_FILENO, STDERR_FILENO) < 0 || chdir(self->folder) != 0)
        _exit(127);
    execv(argv[0], argv);
    _exit(127);
}

static inline int private_pg_free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&address, len) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&address, &len) == 0);
    close(fd);
    return ntohs(address.sin_port);
}

static inline void private_pg_run(const struct private_pg *self, const char *sql)
{
    PGconn *conn = PQconnectdb(self->super_url);
    PGresult *result = PQexec(conn, sql);
    if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK) {
        fprintf(stderr, "%s: %s", sql, PQerrorMessage(conn));
        abort();
    }
    PQclear(result);
    PQfinish(conn);
}

static inline void private_pg_wait_ready(const struct private_pg *self)
{
    time_t deadline = time(NULL) + PRIVATE_PG_DEADLINE_S;
    while (PQping(self->super_url) != PQPING_OK) {
        CHECK(time(NULL) < deadline && waitpid(self->pid, NULL, WNOHANG) == 0);
        usleep(20000);
    }
}

static inline void private_pg_serve(struct private_pg *self)
{
    char port[8];
    snprintf(port, sizeof port, "%d", self->port);
    self->pid = private_pg_spawn(self, (char *[]){PRIVATE_PG_BIN "postgres", "-D", "data", "-p",
                                                  port, "-c", "listen_addresses=127.0.0.1", "-c",
                                                  "unix_socket_directories=", "-F", NULL});
    private_pg_wait_ready(self);
}

/* Ends the server at once, as a crash of it would; private_pg_serve starts it again. */
static inline void private_pg_crash(struct private_pg *self)
{
    CHECK(kill(self->pid, SIGQUIT) == 0 && waitpid(self->pid, NULL, 0) == self->pid);
}

/* A server with role gito_admin and its empty database gito. */
static inline void private_pg_start(struct private_pg *self)
{
    int status;
    *self = (struct private_pg){.folder = "/tmp/gito-test-pg-XXXXXX"};
    CHECK(mkdtemp(self->folder) != NULL);
    const struct passwd *user = getpwnam("postgres");
    if (geteuid() == 0)
        CHECK(user != NULL && chown(self->folder, user->pw_uid, user->pw_gid) == 0);
    pid_t pid = private_pg_spawn(self, (char *[]){PRIVATE_PG_BIN "initdb", "-D", "data", "-U",
                                                  "postgres", "-E", "UTF8", "--locale=C.UTF-8",
                                                  "-A", "trust", "-N", NULL});
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    self->port = private_pg_free_port();
    static const char format[] = "postgresql://%s@127.0.0.1:%d/%s";
    snprintf(self->super_url, sizeof self->super_url, format, "postgres", self->port, "postgres");
    snprintf(self->admin_url, sizeof self->admin_url, format, "gito_admin", self->port, "gito");
    snprintf(self->app_url, sizeof self->app_url, format, "gito_app:secret", self->port, "gito");
    private_pg_serve(self);
    private_pg_run(self, "CREATE ROLE gito_admin LOGIN CREATEROLE BYPASSRLS");
    private_pg_run(self, "CREATE DATABASE gito OWNER gito_admin");
}

static inline void private_pg_stop(struct private_pg *self)
{
    char command[96];
    private_pg_crash(self);
    snprintf(command, sizeof command, "rm -rf %s", self->folder);
    CHECK(system(command) == 0);
}

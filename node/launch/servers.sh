# The private PostgreSQL and Redis below the data folder, and what belongs to them in .env.

PG_BIN=/usr/lib/postgresql/15/bin
PG_DATA=$(realpath -m -- "$GITO_DATA/pg") # a link where user postgres cannot enter: see below
REDIS_HOME=$GITO_DATA/redis
PG_START_DEADLINE_S=90

# Servers refuse to run as root: then they run as user postgres, from a folder it may enter.
as_postgres() {
    if ((EUID == 0)); then
        (cd / && exec runuser -u postgres -- "$@")
    else
        "$@"
    fi
}

# The URL is ours when it is the one made here; one that was given is left alone.
is_private_postgres() { [[ -n $(env_get POSTGRES_PASSWORD) && -z ${DATABASE_URL:-} ]]; }
is_private_redis() { [[ $(env_get REDIS_URL) == redis://:*@127.0.0.1:* && -z ${REDIS_URL:-} && -d $REDIS_HOME ]]; }

# The server lives in its data folder, which proves that a pid is this server's.
postgres_pid() {
    local pid
    pid=$(head -n 1 "$PG_DATA/postmaster.pid" 2>/dev/null) || return 1
    [[ $pid =~ ^[0-9]+$ && $(readlink "/proc/$pid/cwd") == "$PG_DATA" ]] &&
        printf '%s' "$pid"
}
postgres_running() { postgres_pid >/dev/null; }
postgres_answers() { "$PG_BIN/pg_isready" -q -h 127.0.0.1 -p "$PG_PORT"; }

# The folder must be one that user postgres can reach. A clone below a closed home folder has
# none; then the data lies where Debian keeps PostgreSQL's, and a link tells where.
postgres_make_folder() {
    ((EUID == 0)) || {
        mkdir -p -m 700 "$PG_DATA"
        return 0
    }
    chmod o+x "$GITO_DATA"
    if ! as_postgres test -x "$GITO_DATA"; then
        local away
        away=/var/lib/postgresql/gito-$(printf '%s' "$GITO_DATA" | sha256sum | cut -c1-16)
        say "user postgres cannot enter $GITO_DATA: its data goes to $away"
        ln -sfn "$away" "$GITO_DATA/pg"
        PG_DATA=$away
    fi
    mkdir -p "$PG_DATA"
    chown postgres: "$PG_DATA"
    chmod 700 "$PG_DATA"
}

postgres_init() {
    [[ ! -s $PG_DATA/PG_VERSION ]] || return 0
    postgres_make_folder
    say "making the PostgreSQL data folder $PG_DATA"
    env_put POSTGRES_PASSWORD "$(random_hex 24)"
    # The pipe keeps the password off the command line and the disk; it is made by the user that
    # reads it, or it could not be opened by name.
    # shellcheck disable=SC2016
    env_get POSTGRES_PASSWORD | as_postgres bash -c 'exec 3<&0; "$@" --pwfile=<(cat <&3)' - "$PG_BIN/initdb" \
        -D "$PG_DATA" -U postgres -E UTF8 --locale=C.UTF-8 --auth=scram-sha-256 \
        >"$GITO_DATA/initdb.log" 2>&1 ||
        die "could not make the PostgreSQL data folder: see $GITO_DATA/initdb.log"
    as_postgres tee -a "$PG_DATA/postgresql.conf" >/dev/null <<<"include 'gito.conf'"
}

postgres_settings() {
    local quarter_mb
    quarter_mb=$(($(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo) / 4096))
    cat <<END
listen_addresses = '127.0.0.1'
port = $PG_PORT
unix_socket_directories = ''
max_connections = 200
shared_buffers = $((quarter_mb < 2048 ? quarter_mb : 2048))MB
wal_compression = lz4
max_wal_size = 8GB
checkpoint_timeout = 15min
jit = off
fsync = on
synchronous_commit = on
END
}

# A killed server that its parent has not waited for yet still looks alive to PostgreSQL, which
# would wait for ever. The lock on the shared memory still keeps two servers off one folder.
postgres_forget_dead() {
    local pid
    pid=$(head -n 1 "$PG_DATA/postmaster.pid" 2>/dev/null) || return 0
    ! grep -qs '^State:.Z' "/proc/$pid/status" || rm -f "$PG_DATA/postmaster.pid"
}

# A batch of readings takes about a megabyte of a server process's heap. By its defaults glibc gives
# that back to the kernel after each transaction and takes it again for the next, zeroed, page by
# page: a quarter of what a batch costs.
PG_ALLOCATOR=(MALLOC_TOP_PAD_=1048576 MALLOC_TRIM_THRESHOLD_=67108864 MALLOC_MMAP_THRESHOLD_=33554432)

postgres_try_start() {
    postgres_forget_dead
    as_postgres env "${PG_ALLOCATOR[@]}" "$PG_BIN/pg_ctl" -D "$PG_DATA" -l "$PG_DATA/server.log" -w -t 60 start \
        >"$GITO_DATA/pg_ctl.log" 2>&1 </dev/null 8>&-
}

# After a crash, processes of the dead server may hold its memory for a moment: tried again.
postgres_start() {
    postgres_running && return 0
    postgres_init
    postgres_settings | as_postgres tee "$PG_DATA/gito.conf" >/dev/null
    ! postgres_answers || die "port $PG_PORT is taken by another server"
    say "starting PostgreSQL on port $PG_PORT"
    STARTED_POSTGRES=1
    wait_until "$PG_START_DEADLINE_S" postgres_try_start || {
        tail -n 20 "$PG_DATA/server.log" >&2
        die "could not start PostgreSQL"
    }
}

# postgres_stop MODE: fast, or immediate (a kill that recovers at the next start).
postgres_stop() {
    postgres_running || return 0
    say "stopping PostgreSQL"
    as_postgres "$PG_BIN/pg_ctl" -D "$PG_DATA" -m "$1" -w -t 60 stop >"$GITO_DATA/pg_ctl.log" 2>&1 ||
        warn "PostgreSQL did not stop: see $GITO_DATA/pg_ctl.log"
}

# The database and its owner; every other role and table comes with the migrations.
postgres_make_database() {
    local admin_password app_password
    admin_password=$(url_password "$(env_get DATABASE_ADMIN_URL)")
    app_password=$(url_password "$(env_get DATABASE_URL)")
    admin_password=${admin_password:-$(random_hex 24)}
    app_password=${app_password:-$(random_hex 24)}
    PGPASSWORD=$(env_get POSTGRES_PASSWORD) psql -qX -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$PG_PORT" \
        -U postgres -d postgres >"$GITO_DATA/psql.log" 2>&1 <<END || die "could not make the database: see $GITO_DATA/psql.log"
SELECT 'CREATE ROLE gito_admin' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'gito_admin') \gexec
ALTER ROLE gito_admin LOGIN CREATEROLE BYPASSRLS PASSWORD '$admin_password';
SELECT 'CREATE DATABASE gito OWNER gito_admin' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'gito') \gexec
END
    env_put DATABASE_ADMIN_URL "postgresql://gito_admin:$admin_password@127.0.0.1:$PG_PORT/gito"
    env_put DATABASE_URL "postgresql://gito_app:$app_password@127.0.0.1:$PG_PORT/gito"
}

# The given servers, or private ones; .env has the addresses afterwards.
postgres_up() {
    if [[ -n ${DATABASE_URL:-} ]]; then
        env_put DATABASE_URL "$DATABASE_URL"
        env_put DATABASE_ADMIN_URL "${DATABASE_ADMIN_URL:-$DATABASE_URL}"
        say "using the PostgreSQL that DATABASE_URL names"
    elif [[ -n $(env_get DATABASE_URL) ]] && ! is_private_postgres; then
        say "using the PostgreSQL that $KEPT_FILE names"
    else
        postgres_start
        postgres_make_database
    fi
}

# Redis changes to its folder, which tells it from every other Redis of this machine.
redis_pid() {
    local pid
    pid=$(cat "$REDIS_HOME/pid" 2>/dev/null) || return 1
    [[ $pid =~ ^[0-9]+$ && $(readlink "/proc/$pid/cwd") == "$REDIS_HOME" ]] &&
        grep -zq '^redis-' "/proc/$pid/cmdline" 2>/dev/null && printf '%s' "$pid"
}

redis_answers() {
    [[ $(REDISCLI_AUTH=$(url_password "$(env_get REDIS_URL)") \
        redis-cli -h 127.0.0.1 -p "$REDIS_PORT" ping 2>/dev/null) == PONG ]]
}

redis_start() {
    local password
    [[ -z $(redis_pid) ]] || return 0
    mkdir -p "$REDIS_HOME"
    password=$(url_password "$(env_get REDIS_URL)")
    password=${password:-$(random_hex 24)}
    env_put REDIS_URL "redis://:$password@127.0.0.1:$REDIS_PORT/0"
    say "starting Redis on port $REDIS_PORT"
    STARTED_REDIS=1
    (umask 077 && cat >"$REDIS_HOME/redis.conf") <<END
bind 127.0.0.1
port $REDIS_PORT
requirepass $password
daemonize yes
dir "$REDIS_HOME"
pidfile "$REDIS_HOME/pid"
logfile "$REDIS_HOME/log"
save ""
appendonly no
END
    redis-server "$REDIS_HOME/redis.conf" >"$REDIS_HOME/start.log" 2>&1 8>&- </dev/null ||
        die "could not start Redis: see $REDIS_HOME/start.log"
    wait_until 15 redis_answers || die "Redis does not answer: see $REDIS_HOME/log"
}

redis_up() {
    if [[ -n ${REDIS_URL:-} ]]; then
        env_put REDIS_URL "$REDIS_URL"
        say "using the Redis that REDIS_URL names"
    elif [[ -n $(env_get REDIS_URL) ]] && ! is_private_redis; then
        say "using the Redis that $KEPT_FILE names"
    else
        redis_start
    fi
}

# admin_rows SQL: its rows, a space between columns; fails soon where the database is away. The
# password stays off the command line, where everybody could read it.
admin_rows() {
    local url password
    url=$(env_get DATABASE_ADMIN_URL)
    password=$(url_password "$url")
    [[ -n $url ]] || return 1
    PGPASSWORD=$(printf '%b' "${password//%/\\x}") PGCONNECT_TIMEOUT=2 PGOPTIONS='-c statement_timeout=5s' \
        psql -qXAt -F ' ' -d "$(sed 's,^\([a-z]*://[^:@/]*\):[^@/]*@,\1@,' <<<"$url")" -c "$1" 2>/dev/null
}

redis_gone() { [[ -z $(redis_pid) ]]; }

# redis_stop SIGNAL: there is nothing to save.
redis_stop() {
    local pid
    pid=$(redis_pid) || return 0
    say "stopping Redis"
    kill "-$1" "$pid" 2>/dev/null || true
    wait_until 10 redis_gone || warn "Redis did not stop"
}

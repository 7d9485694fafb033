# Shared by the launcher's parts: the data folder, ports, words to the user, and $GITO_DATA/.env.

say() { printf '%s\n' "gito: $*"; }
warn() { printf '%s\n' "gito: $*" >&2; }
die() {
    warn "$*"
    exit 1
}

# A folder may not exist yet, so its parents are resolved without it.
GITO_DATA=$(realpath -m -- "${GITO_DATA:-$GITO_ROOT/var}")
PORT_BASE=${GITO_PORT_BASE:-0}
[[ $PORT_BASE =~ ^[0-9]{1,5}$ ]] || {
    warn "GITO_PORT_BASE is not a number: $PORT_BASE"
    exit 2
}
PORT_BASE=$((10#$PORT_BASE))
((PORT_BASE + 8883 + 64 <= 65535)) || {
    warn "GITO_PORT_BASE leaves no room for the ports: $PORT_BASE"
    exit 2
}
PG_PORT=$((5433 + PORT_BASE))
REDIS_PORT=$((6380 + PORT_BASE))
KEPT_FILE=$GITO_DATA/.env
export GITO_DATA

# wait_until SECONDS COMMAND...: 0 as soon as the command succeeds, 1 at the deadline.
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || return 1
        sleep 0.1
    done
}

random_hex() { openssl rand -hex "$1"; }

# env_get NAME [FILE]: the value kept in .env; empty when there is none.
env_get() {
    local file=${2:-$KEPT_FILE}
    [[ -r $file ]] || return 0
    sed -n "s/^$1=//p" "$file" | tail -n 1
}

# env_put NAME VALUE: kept for the next `up`; the file holds secrets, so it is its owner's alone.
env_put() {
    local next=$KEPT_FILE.next
    (
        umask 077
        { [[ ! -r $KEPT_FILE ]] || grep -v "^$1=" "$KEPT_FILE" || true; } >"$next"
        printf '%s=%s\n' "$1" "$2" >>"$next"
    )
    mv -- "$next" "$KEPT_FILE"
}

# url_password URL: the password inside scheme://user:password@host, or nothing.
url_password() {
    local pattern='^[a-z]+://[^:@/]*:([^@/]*)@'
    [[ $1 =~ $pattern ]] && printf '%s' "${BASH_REMATCH[1]}"
    return 0
}

# process_has PID WORD: the process lives and its environment has this line. A pid file may
# outlive its process and the number be given to another: nothing is signalled unverified.
process_has() {
    [[ $1 =~ ^[0-9]+$ ]] && grep -zqxF -- "$2" "/proc/$1/environ" 2>/dev/null
}

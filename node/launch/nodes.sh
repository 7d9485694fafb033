# Node processes: their list, their start, their readiness and their end.

NODES_HOME=$GITO_DATA/nodes
NODES_LIST=$GITO_DATA/nodes.list
NODES_DEFAULT=eu-1,eu-2,us-1
NODES_MAX=64
NODE_READY_DEADLINE_S=${GITO_READY_DEADLINE_S:-120}
NODE_STOP_DEADLINE_S=30
NODE_DRAIN_SECONDS_DEFAULT=30

node_check_name() {
    [[ $1 =~ ^[a-z0-9]+(-[a-z0-9]+)+$ && ${#1} -le 63 ]] ||
        usage_error "not a node name (region-number): \"$1\""
}

# nodes_keep LIST: checks the names and keeps their order, which gives each node its ports. A node
# that runs keeps its place: it listens on them.
nodes_keep() {
    local name index=0
    local -a names
    local -A place=()
    mapfile -t -d , names < <(printf '%s,' "$1")
    for name in "${names[@]}"; do
        node_check_name "$name"
        [[ -z ${place[$name]:-} ]] || usage_error "node named twice: $name"
        place[$name]=$((index++))
    done
    ((index > 0 && index <= NODES_MAX)) || usage_error "--nodes takes 1 to $NODES_MAX names"
    for name in $(nodes_all); do
        node_gone "$name" || [[ ${place[$name]:-} == "$(node_index "$name")" ]] ||
            die "$name is running and would lose its ports: keep its place in --nodes, or stop it first"
    done
    printf '%s\n' "${names[@]}" >"$NODES_LIST"
}

# nodes_add NAME: to the end of the list, unless it is there.
nodes_add() {
    node_index "$1" >/dev/null && return 0
    node_check_name "$1"
    (($(nodes_all | wc -l) < NODES_MAX)) || die "there are $NODES_MAX nodes already"
    printf '%s\n' "$1" >>"$NODES_LIST"
}

# The regions in the order of their first mention, with a comma between each two.
nodes_regions() { nodes_all | sed 's/-[^-]*$//' | awk '!seen[$0]++' | paste -sd, -; }

nodes_all() { cat "$NODES_LIST" 2>/dev/null || true; }

# node_index NAME: its place in the list, from 0; fails when it is not there.
node_index() {
    local line
    line=$(nodes_all | grep -nxF -- "$1") || return 1
    printf '%s' $((${line%%:*} - 1))
}

# node_pid NAME: the running process, proven to be this node of this data folder.
node_pid() {
    local pid
    pid=$(cat "$NODES_HOME/$1/pid" 2>/dev/null) || return 1
    process_has "$pid" "GITO_NODE_HOME=$NODES_HOME/$1" && printf '%s' "$pid"
}
node_running() { node_pid "$1" >/dev/null; }
node_gone() { ! node_running "$1"; }

# node_host NAME: where this machine reaches the node, as a URL has it.
node_host() {
    local address
    address=$(env_get BIND_ADDRESS "$NODES_HOME/$1/env")
    case $address in
    '' | 0.0.0.0) printf '127.0.0.1' ;;
    ::) printf '[::1]' ;;
    *:*) printf '[%s]' "$address" ;;
    *) printf '%s' "$address" ;;
    esac
}
node_url() { printf 'http://%s:%s' "$(node_host "$1")" "$(env_get HTTP_PORT "$NODES_HOME/$1/env")"; }
node_ready() { curl -gfs -o /dev/null --max-time 2 "$(node_url "$1")/readyz"; }

# Ready, or dead: either ends the wait for it.
node_settled() { node_ready "$1" || node_gone "$1"; }

# with_node_env NAME COMMAND...: becomes the command, in the node's environment; call it in a
# subshell. The administrator's address is not part of it: who serves requests never has it. What
# a shell starts in the background ignores SIGINT, which is how a node is told to leave.
with_node_env() {
    local -a settings
    mapfile -t settings <"$NODES_HOME/$1/env"
    cd "$NODES_HOME/$1"
    shift
    exec env --default-signal=INT -u DATABASE_ADMIN_URL -u ENV_FILE -u GITO_NODE "${settings[@]}" "$@"
}

with_admin_env() {
    local name=$1
    shift
    with_node_env "$name" env "DATABASE_ADMIN_URL=$(env_get DATABASE_ADMIN_URL)" "$@"
}

node_start() {
    local name=$1 home=$NODES_HOME/$1
    if node_running "$name"; then
        say "$name is running"
        return 0
    fi
    node_write_env "$name"
    rm -f "$home/ordered"
    say "starting $name"
    STARTED_NODES+=("$name")
    (
        with_node_env "$name" setsid "$NODE_PROGRAM" >>"$home/log" 2>&1 </dev/null 8>&- &
        printf '%s\n' $! >"$home/pid"
    )
    wait_until 5 node_begun "$name" || true
}

# The process shows its own environment, or is dead: before that it cannot be told from others.
node_begun() {
    local pid
    pid=$(cat "$NODES_HOME/$1/pid")
    node_running "$1" || ! grep -zq . "/proc/$pid/environ" 2>/dev/null
}

node_wait_ready() {
    if ! wait_until "$NODE_READY_DEADLINE_S" node_settled "$1" || node_gone "$1"; then
        tail -n 30 "$NODES_HOME/$1/log" >&2
        node_running "$1" && die "$1 is not ready after $NODE_READY_DEADLINE_S s (log above)"
        die "$1 ended before it was ready (log above)"
    fi
}

# nodes_signal SIGNAL NAME...: to all at once; NODE_PIDS is who has got it. Its file `ordered` tells
# an `up` in the foreground that what ends was told to.
nodes_signal() {
    local signal=$1 name pid
    shift
    NODE_PIDS=()
    for name in "$@"; do
        pid=$(node_pid "$name") || continue
        NODE_PIDS[$name]=$pid
        : >"$NODES_HOME/$name/ordered"
        kill "-$signal" "$pid" 2>/dev/null || true
    done
}
declare -A NODE_PIDS=()

# nodes_await_end SECONDS NAME...: who does not end in time is killed, and told.
nodes_await_end() {
    local deadline=$((SECONDS + $1)) name
    shift
    for name in "$@"; do
        if ! wait_until $((deadline - SECONDS)) node_gone "$name"; then
            warn "$name did not stop in time: killed"
            kill -KILL "${NODE_PIDS[$name]}" 2>/dev/null || true
            wait_until 5 node_gone "$name" || warn "$name is still there (pid ${NODE_PIDS[$name]})"
        fi
        rm -f "$NODES_HOME/$name/pid"
    done
}

# nodes_stop SIGNAL NAME...: INT: they leave without handing anything over; KILL.
nodes_stop() {
    local word=stopping
    [[ $1 != KILL ]] || word=killing
    nodes_signal "$@"
    shift
    ((${#NODE_PIDS[@]} == 0)) || say "$word ${!NODE_PIDS[*]}"
    nodes_await_end "$NODE_STOP_DEADLINE_S" "$@"
}

# node_drain NAME: it hands its devices over, moves its connections and leaves.
node_drain() {
    local seconds
    seconds=$(env_get NODE_DRAIN_SECONDS "$NODES_HOME/$1/env")
    say "draining $1"
    nodes_signal TERM "$1"
    nodes_await_end $((${seconds:-$NODE_DRAIN_SECONDS_DEFAULT} + NODE_STOP_DEADLINE_S)) "$1"
}

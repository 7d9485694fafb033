# The commands of ./gito, each with its options.

STARTED_POSTGRES='' STARTED_REDIS=''
STARTED_NODES=()

# Stops what this `up` started, and nothing that ran before.
stop_started() {
    local name
    set +e # the terminal may be gone: telling may fail, stopping goes on
    trap '' INT TERM HUP
    for name in ${STARTED_NODES[@]+"${STARTED_NODES[@]}"}; do node_stop "$name" || true; done
    [[ -z $STARTED_REDIS ]] || redis_stop TERM
    [[ -z $STARTED_POSTGRES ]] || postgres_stop fast
}

# What runs once for the whole cluster before any node may start.
prepare_cluster() {
    local first=$1 demo=$2
    postgres_up
    redis_up
    keep_settings
    make_certificate
    node_write_env "$first"
    logged "migrating the database" "$GITO_DATA/migrate.log" \
        with_admin_env "$first" "$NODE_PROGRAM" --migrate
    [[ -z $demo ]] || logged "making the demo tenant" "$GITO_DATA/seed.log" \
        with_admin_env "$first" "$NODE_PROGRAM" --seed-demo
}

print_welcome() {
    local env=$NODES_HOME/$1/env demo=$2
    printf '\nDashboard  http://127.0.0.1:%s/\n' "$(env_get HTTP_PORT "$env")"
    if [[ -n $demo ]]; then
        cat <<END
Login      admin@gito.demo / admin123   (operator: ops@gito.demo / ops123)
Publish    mosquitto_pub -h 127.0.0.1 -p $(env_get MQTT_PORT "$env") -u admin -P admin-password -q 1 -t 00000000-0000-0000-0000-000000000001/devices/00000000-0000-0000-0000-000000000100/telemetry -m '{"temperature":21.5}'
END
    fi
    printf '\n'
}

# Stays while a node lives; Ctrl-C ends it, and the exit trap stops what was started.
stay_in_foreground() {
    local name
    say "running; Ctrl-C stops all"
    while :; do
        for name in "$@"; do
            node_running "$name" || {
                tail -n 30 "$NODES_HOME/$name/log" >&2
                die "$name ended (log above)"
            }
        done
        sleep 1
    done
}

# Prints which nodes to start: the first alone, until nodes can share the devices.
nodes_to_start() {
    local wanted=$1 name
    local -a all
    mapfile -t all < <(nodes_all)
    if [[ -n $wanted ]]; then
        node_index "$wanted" >/dev/null || die "no such node: $wanted (there are: ${all[*]})"
        for name in "${all[@]}"; do
            [[ $name == "$wanted" ]] || node_gone "$name" ||
                die "$name is running: several nodes come with the cluster"
        done
        printf '%s\n' "$wanted"
        return 0
    fi
    ((${#all[@]} == 1)) || say "starting ${all[0]} alone: several nodes come with the cluster" >&2
    printf '%s\n' "${all[0]}"
}

command_up() {
    local detach='' list='' wanted='' demo=1 names name
    while (($#)); do
        case $1 in
        --detach) detach=1 ;;
        --no-demo) demo='' ;;
        --nodes | --node)
            (($# >= 2)) && [[ -n $2 ]] || usage_error "$1 needs a value"
            if [[ $1 == --nodes ]]; then list=$2; else wanted=$2; fi
            shift
            ;;
        -h | --help) usage && return 0 ;;
        *) usage_error "unknown option of up: $1" ;;
        esac
        shift
    done
    mkdir -p "$GITO_DATA" "$NODES_HOME"
    exec 8>"$GITO_DATA/.lock"
    flock -n 8 || die "another up is at work on $GITO_DATA"
    if [[ -n $list || ! -s $GITO_DATA/nodes.list ]]; then nodes_keep "${list:-$NODES_DEFAULT}"; fi
    names=$(nodes_to_start "$wanted")

    packages_install "${PACKAGES_UP[@]}"
    build_node
    build_web
    trap 'exit 130' INT TERM HUP PIPE
    trap stop_started EXIT
    prepare_cluster "${names%%$'\n'*}" "$demo"
    for name in $names; do node_start "$name"; done
    for name in $names; do node_wait_ready "$name"; done
    exec 8>&-
    print_welcome "${names%%$'\n'*}" "$demo"
    [[ -n $detach ]] || stay_in_foreground $names
    trap - EXIT
}

command_down() {
    local wanted='' now='' name
    while (($#)); do
        case $1 in
        --now) now=now ;;
        --node)
            (($# >= 2)) && [[ -n $2 ]] || usage_error "--node needs a value"
            wanted=$2
            shift
            ;;
        -h | --help) usage && return 0 ;;
        *) usage_error "unknown option of down: $1" ;;
        esac
        shift
    done
    if [[ -n $wanted ]]; then
        node_index "$wanted" >/dev/null || die "no such node: $wanted"
        node_running "$wanted" || say "$wanted is not running"
        node_stop "$wanted" "$now"
        return 0
    fi
    for name in $(nodes_all); do node_stop "$name" "$now"; done
    if [[ -n $now ]]; then
        redis_stop KILL
        postgres_stop immediate
    else
        redis_stop TERM
        postgres_stop fast
    fi
}

STATUS_FORMAT='%-14s %-8s %-10s %s\n'

# status_line NAME PID STATE PORTS: one row; a state other than ready makes the whole status 3.
status_line() {
    # shellcheck disable=SC2059  # one format for all rows
    printf "$STATUS_FORMAT" "$1" "${2:--}" "$3" "$4"
    [[ $3 == ready || $3 == given ]] || STATUS=3
}

node_status() {
    local env=$NODES_HOME/$1/env pid state=stopped
    pid=$(node_pid "$1") && state=starting && node_ready "$1" && state=ready
    status_line "$1" "$pid" "$state" "mqtt $(env_get MQTT_PORT "$env")  mqtts $(env_get MQTTS_PORT "$env")\
  http $(env_get HTTP_PORT "$env")  mesh $(env_get MESH_PORT "$env")"
}

servers_status() {
    local pid
    if is_private_postgres; then
        pid=$(postgres_pid) || pid=''
        if [[ -z $pid ]]; then
            status_line PostgreSQL '' stopped "$PG_PORT"
        elif postgres_answers; then
            status_line PostgreSQL "$pid" ready "$PG_PORT"
        else
            status_line PostgreSQL "$pid" starting "$PG_PORT"
        fi
    else
        status_line PostgreSQL '' given "$(env_get DATABASE_URL | sed 's/.*@//')"
    fi
    if is_private_redis; then
        pid=$(redis_pid) || pid=''
        if redis_answers; then
            status_line Redis "$pid" ready "$REDIS_PORT"
        else
            status_line Redis "$pid" stopped "$REDIS_PORT"
        fi
    else
        status_line Redis '' given "$(env_get REDIS_URL | sed 's/.*@//')"
    fi
}

command_status() {
    local name any=''
    (($# == 0)) || usage_error "status takes no options"
    STATUS=0
    # shellcheck disable=SC2059
    printf "$STATUS_FORMAT" NAME PID STATE PORTS
    for name in $(nodes_all); do
        [[ ! -r $NODES_HOME/$name/env ]] || { any=1 && node_status "$name"; }
    done
    if [[ -z $any ]]; then
        say "nothing was started in $GITO_DATA"
        return 3
    fi
    servers_status
    return $STATUS
}

command_test() {
    case ${1-} in
    '' | unit | sim | e2e | cluster | web | fuzz | lint) ;;
    *) usage_error "unknown part: $1" ;;
    esac
    (($# <= 1)) || usage_error "test takes one part or none"
    packages_install "${PACKAGES_UP[@]}" "${PACKAGES_TEST[@]}"
    cd "$GITO_ROOT"
    exec /usr/bin/python3 tests/run.py "$@" </dev/null
}

build_bench_unlocked() {
    cmake --preset release && cmake --build --preset release --target gito-node gito-load
}

command_bench() {
    (($# <= 1)) && [[ ${1-} != -* ]] || usage_error "bench takes one name or none"
    packages_install "${PACKAGES_UP[@]}" "${PACKAGES_TEST[@]}"
    cd "$GITO_ROOT"
    mkdir -p "$GITO_DATA"
    logged "building the load generator" "$GITO_DATA/build-bench.log" with_build_lock build_bench_unlocked
    exec /usr/bin/python3 tests/bench/bench.py "$@"
}

command_provision() {
    local first
    first=$(nodes_all | head -n 1)
    [[ -n $first && -r $NODES_HOME/$first/env ]] || die "nothing was started in $GITO_DATA: run ./gito up first"
    build_node
    with_admin_env "$first" "$NODE_PROGRAM" --provision "$@"
}

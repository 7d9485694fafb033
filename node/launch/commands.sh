# The commands of ./gito, each with its options.

STARTED_POSTGRES='' STARTED_REDIS=''
STARTED_NODES=()

# Stops what this `up` started, and nothing that ran before. Without their PostgreSQL the nodes that
# joined later are of no use: they end too.
stop_started() {
    set +e # the terminal may be gone: telling may fail, stopping goes on
    trap '' INT TERM HUP
    [[ -z $STARTED_POSTGRES ]] || mapfile -t STARTED_NODES < <(nodes_all)
    nodes_stop INT ${STARTED_NODES[@]+"${STARTED_NODES[@]}"}
    [[ -z $STARTED_REDIS ]] || redis_stop TERM
    [[ -z $STARTED_POSTGRES ]] || postgres_stop fast
}

# What runs once for the whole cluster before any node may start.
prepare_cluster() {
    local first=$1 demo=$2
    postgres_up
    redis_up
    keep_settings
    node_write_env "$first"
    logged "migrating the database" "$GITO_DATA/migrate.log" \
        with_admin_env "$first" "$NODE_PROGRAM" --migrate
    [[ -z $demo ]] || logged "making the demo tenant" "$GITO_DATA/seed.log" \
        with_admin_env "$first" "$NODE_PROGRAM" --seed-demo
}

# print_welcome DEMO NAME...: the first node's addresses, and where the others' dashboards are.
print_welcome() {
    local demo=$1 first=$2 name host
    shift 2
    host=$(node_host "$first" | tr -d '[]')
    printf '\nDashboard  %s/\n' "$(node_url "$first")"
    if (($# > 0)); then
        printf '%-10s' 'Others'
        for name in "$@"; do printf ' %s %s/' "$name" "$(node_url "$name")"; done
        printf '\n'
    fi
    if [[ -n $demo ]]; then
        cat <<END
Login      admin@gito.demo / admin123   (operator: ops@gito.demo / ops123)
Publish    mosquitto_pub -h $host -p $(env_get MQTT_PORT "$NODES_HOME/$first/env") -u admin -P admin-password -q 1 -t 00000000-0000-0000-0000-000000000001/devices/00000000-0000-0000-0000-000000000100/telemetry -m '{"temperature":21.5}'
END
    fi
    printf '\n'
}

# Stays while a node lives; Ctrl-C ends it, and the exit trap stops what was started. Exit status 1:
# a node ended that nobody had told to.
stay_in_foreground() {
    local name living=$# status=0
    local -A ended=()
    say "running; Ctrl-C stops all"
    while ((living > 0)); do
        for name in "$@"; do
            if node_running "$name"; then
                [[ -z ${ended[$name]:-} ]] || { say "$name is back" && living=$((living + 1)); }
                ended[$name]=''
            elif [[ -z ${ended[$name]:-} ]]; then
                ended[$name]=1 living=$((living - 1))
                if [[ -e $NODES_HOME/$name/ordered ]]; then
                    say "$name was stopped"
                    continue
                fi
                status=1
                warn "$name ended; the end of $NODES_HOME/$name/log:"
                tail -n 5 "$NODES_HOME/$name/log" >&2
            fi
        done
        sleep 1
    done
    say "no node is left"
    exit "$status"
}

# The nodes of this `up`: the one that was wanted, or all. Their list is a draft until it is kept.
choose_nodes() {
    local list=$1 wanted=$2
    rm -f "$NODES_LIST.next"
    [[ ! -s $NODES_LIST ]] || cp -- "$NODES_LIST" "$NODES_LIST.next"
    NODES_LIST+=.next
    if [[ -n $list || ! -s $NODES_LIST ]]; then nodes_keep "${list:-$NODES_DEFAULT}"; fi
    if [[ -n $wanted ]]; then
        nodes_add "$wanted"
        NAMES=("$wanted")
    else
        mapfile -t NAMES < <(nodes_all)
    fi
}

keep_nodes() {
    mv -- "$NODES_LIST" "${NODES_LIST%.next}"
    NODES_LIST=${NODES_LIST%.next}
}

any_node_runs() {
    local name
    for name in $(nodes_all); do
        ! node_running "$name" || return 0
    done
    return 1
}

# choose_demo NODE: by the option or the environment, else as it is kept. Its passwords are known
# to all: who once wanted none does not get it by a later `up` that leaves the option out.
choose_demo() {
    GITO_DEMO=${GITO_DEMO:-$(env_get GITO_DEMO)}
    GITO_DEMO=${GITO_DEMO:-yes}
    [[ $GITO_DEMO =~ ^(yes|no)$ ]] || settings_wrong "GITO_DEMO: \"$GITO_DEMO\" is neither yes nor no"
    DEMO=1
    # One more node changes nothing of what the cluster was made with.
    if [[ $GITO_DEMO == no ]] || { [[ -n $1 ]] && any_node_runs; }; then DEMO=''; fi
}

command_up() {
    local detach='' list='' wanted='' name
    while (($#)); do
        case $1 in
        --detach) detach=1 ;;
        --no-demo) GITO_DEMO=no ;;
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
    choose_nodes "$list" "$wanted"
    choose_demo "$wanted"

    packages_install "${PACKAGES_UP[@]}"
    build_node
    build_web
    make_certificate
    resolve_files
    check_settings "${NAMES[@]}"
    keep_nodes
    trap 'exit 130' INT TERM HUP PIPE
    trap stop_started EXIT
    prepare_cluster "${NAMES[0]}" "$DEMO"
    for name in "${NAMES[@]}"; do node_start "$name"; done
    for name in "${NAMES[@]}"; do node_wait_ready "$name"; done
    exec 8>&-
    print_welcome "$DEMO" "${NAMES[@]}"
    [[ -n $detach ]] || stay_in_foreground "${NAMES[@]}"
    trap - EXIT
}

# down_node NAME SIGNAL: KILL, or it is drained.
down_node() {
    node_index "$1" >/dev/null || die "no such node: $1"
    if node_gone "$1"; then
        say "$1 is not running"
    elif [[ $2 == KILL ]]; then
        nodes_stop KILL "$1"
    else
        node_drain "$1"
    fi
}

# All leave at once: nobody is left to hand anything over to.
down_all() {
    # shellcheck disable=SC2046  # a list of words
    nodes_stop "$1" $(nodes_all)
    if [[ $1 == KILL ]]; then
        redis_stop KILL
        postgres_stop immediate
    else
        redis_stop TERM
        postgres_stop fast
    fi
}

command_down() {
    local wanted='' signal=INT
    while (($#)); do
        case $1 in
        --now) signal=KILL ;;
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
    if [[ -n $wanted ]]; then down_node "$wanted" "$signal"; else down_all "$signal"; fi
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
    cmake --preset release && cmake --build --preset release --target gito-node gito-load gito-mesh-bench gito-wan
}

command_bench() {
    (($# <= 1)) && [[ ${1-} != -* ]] || usage_error "bench takes one name or none"
    packages_install "${PACKAGES_UP[@]}" "${PACKAGES_TEST[@]}"
    cd "$GITO_ROOT"
    mkdir -p "$GITO_DATA"
    logged "building the load generator" "$GITO_DATA/build-bench.log" with_build_lock build_bench_unlocked
    exec /usr/bin/python3 tests/bench/bench.py "$@"
}

# provision_options WORD...: every one is an option of provision, and none is missing. Their values
# are for the node's program to judge.
provision_options() {
    local -a given=()
    while (($#)); do
        case ${1%%=*} in
        --tenant | --devices | --secret-template | --service-account | --password) ;;
        *) usage_error "unknown option of provision: $1" ;;
        esac
        given+=("${1%%=*}")
        if [[ $1 != *=* ]]; then
            (($# >= 2)) || usage_error "$1 needs a value"
            shift
        fi
        shift
    done
    case $(printf '%s\n' ${given[@]+"${given[@]}"} | sort | paste -sd ' ') in
    '--devices --secret-template --tenant' | '--password --service-account --tenant') ;;
    *) usage_error "provision needs a tenant's devices and their secrets, or a service account and its password" ;;
    esac
}

command_provision() {
    local first
    provision_options "$@"
    first=$(nodes_all | head -n 1)
    [[ -n $first && -r $NODES_HOME/$first/env ]] || die "nothing was started in $GITO_DATA: run ./gito up first"
    build_node
    with_admin_env "$first" "$NODE_PROGRAM" --provision "$@"
}

# Builds the node and the web app. One build at a time per tree: two clusters may come up at once.

with_build_lock() {
    mkdir -p "$GITO_ROOT/build"
    (
        flock 9
        # The lock must not live on in a daemon that a build tool leaves behind.
        "$@" 9>&-
    ) 9>"$GITO_ROOT/build/.lock"
}

# logged TITLE LOG COMMAND...: progress is one line; the output is shown when the command fails.
logged() {
    local title=$1 log=$2
    shift 2
    mkdir -p "$(dirname "$log")"
    say "$title"
    ("$@") >"$log" 2>&1 </dev/null && return 0
    tail -n 60 "$log" >&2
    die "failed: $title (whole output in $log)"
}

build_node_unlocked() {
    cmake --preset release && cmake --build --preset release --target gito-node
}

build_node() {
    if [[ -n ${GITO_NODE:-} ]]; then
        NODE_PROGRAM=$(realpath -e -- "$GITO_NODE") || die "GITO_NODE is not there: $GITO_NODE"
        return 0
    fi
    NODE_PROGRAM=$GITO_ROOT/build/release/gito-node
    [[ -f $GITO_ROOT/node/main.c ]] || die "node/main.c is missing: there is no node to build"
    (cd "$GITO_ROOT" && logged "building gito-node" "$GITO_DATA/build-node.log" \
        with_build_lock build_node_unlocked)
}

# True when web/dist is there and no source is newer.
web_is_fresh() {
    local stamp=$GITO_ROOT/web/dist/index.html
    [[ -f $stamp ]] || return 1
    [[ -z $(find "$GITO_ROOT/web" \( -name node_modules -o -name dist \) -prune -o \
        -type f -newer "$stamp" -print -quit) ]]
}

# Asks again under the lock: another `up` may have just built it.
build_web_unlocked() {
    web_is_fresh && return 0
    cd "$GITO_ROOT/web"
    if [[ ! -d node_modules || package-lock.json -nt node_modules/.package-lock.json ]]; then
        npm ci --no-audit --no-fund || return 1
    fi
    npm run build && touch dist/index.html
}

# Who names the node program tests a tree that is built already: nothing is built then.
build_web() {
    [[ -z ${GITO_NODE:-} ]] || return 0
    if [[ ! -f $GITO_ROOT/web/package.json ]]; then
        say "no web app in this tree: starting without a dashboard"
        return 0
    fi
    web_is_fresh && return 0
    logged "building the web app" "$GITO_DATA/build-web.log" with_build_lock build_web_unlocked
}

# What nodes are started with: checked, kept for the next `up`, written down for each node.

# Settings that are kept in .env once given, so that a node started again has them too: all that
# the node knows, less those that this file makes itself. A weight is a node's own, kept with it.
mapfile -t NODE_SETTINGS < <(sed -n 's/^[A-Z]* ([a-z_]*, "\([A-Z_]*\)".*/\1/p' "$GITO_ROOT/node/config.def" |
    grep -vxE 'DATABASE_URL|DATABASE_ADMIN_URL|REDIS_URL|NODE_ID|NODE_REGION|NODE_WEIGHT|(MQTT|MQTTS|HTTP|MESH)_PORT|TLS_.*|WEB_ROOT')

keep_settings() {
    local name
    for name in "${NODE_SETTINGS[@]}"; do
        [[ -z ${!name:-} ]] || env_put "$name" "${!name}"
    done
    env_put GITO_DEMO "$GITO_DEMO"
    [[ -n $(env_get JWT_SECRET_KEY) ]] || env_put JWT_SECRET_KEY "$(random_hex 32)"
}

make_certificate() {
    local folder=$GITO_DATA/tls
    [[ ! -s $folder/key.pem || ! -s $folder/cert.pem ]] || return 0
    mkdir -p -m 700 "$folder"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -days 825 \
        -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
        -keyout "$folder/key.pem" -out "$folder/cert.pem" 2>"$folder/openssl.log" ||
        die "could not make a certificate: see $folder/openssl.log"
    chmod 600 "$folder/key.pem"
}

# node_settings NAME: all that this node is started with: what is given now, else what is kept.
node_settings() {
    local name=$1 home=$NODES_HOME/$1 index setting value weight web=${WEB_ROOT:-}
    index=$(node_index "$name") || die "no such node: $name"
    weight=${NODE_WEIGHT:-$(env_get NODE_WEIGHT "$home/env")}
    # A tree whose web app was not built serves none; a folder that was asked for must be there.
    [[ -n $web || ! -d $GITO_ROOT/web/dist ]] || web=$GITO_ROOT/web/dist
    cat <<END
GITO_NODE_HOME=$home
NODE_ID=$name
NODE_REGION=${name%-*}
CLUSTER_REGIONS=$(nodes_regions)
MQTT_PORT=$((1883 + index + PORT_BASE))
MQTTS_PORT=$((8883 + index + PORT_BASE))
HTTP_PORT=$((8080 + index + PORT_BASE))
MESH_PORT=$((7400 + index + PORT_BASE))
TLS_CERT_FILE=${TLS_CERT_FILE:-$GITO_DATA/tls/cert.pem}
TLS_KEY_FILE=${TLS_KEY_FILE:-$GITO_DATA/tls/key.pem}
WEB_ROOT=$web
END
    for setting in DATABASE_URL REDIS_URL "${NODE_SETTINGS[@]}"; do
        value=${!setting:-$(env_get "$setting")}
        [[ -z $value ]] || printf '%s=%s\n' "$setting" "$value"
    done
    [[ -z $weight ]] || printf 'NODE_WEIGHT=%s\n' "$weight"
}

# node_write_env NAME: the old file is read, for the node's weight, while the new one is written.
node_write_env() {
    local env=$NODES_HOME/$1/env
    mkdir -p "$NODES_HOME/$1"
    (umask 077 && node_settings "$1" >"$env.next")
    mv -- "$env.next" "$env"
}

# settings_wrong LINE: says it, and where a value is from that was not given now.
settings_wrong() {
    local name=${1%%:*} where=''
    [[ ! $name =~ ^[A-Z_]+$ || -n ${!name:-} || -z $(env_get "$name") ]] || where=" (kept in $KEPT_FILE)"
    warn "$1$where"
    exit 2
}

# Files are named from where the user is, and opened from where a node is.
resolve_files() {
    local name
    for name in WEB_ROOT TLS_CERT_FILE TLS_KEY_FILE SMTP_CA_FILE; do
        [[ -z ${!name:-} ]] || export "$name=$(realpath -m -- "${!name}")"
    done
}

# check_settings NAME...: before any is kept, or a wrong one would spoil every later `up` too. What
# `up` makes itself may not be there yet: the node's program only sees that it will be.
check_settings() {
    local name line
    local -a settings
    for name in DATABASE_URL DATABASE_ADMIN_URL REDIS_URL NODE_WEIGHT WEB_ROOT "${NODE_SETTINGS[@]}"; do
        [[ ${!name:-} != *$'\n'* ]] || settings_wrong "$name: has more than one line"
    done
    for name in "$@"; do
        mapfile -t settings < <(node_settings "$name")
        line=$(cd "$NODES_HOME" && env -u ENV_FILE "DATABASE_URL=postgresql://127.0.0.1/gito" \
            "JWT_SECRET_KEY=$(random_hex 32)" "${settings[@]}" "$NODE_PROGRAM" --check 2>&1) &&
            continue
        (($? == 2)) || die "could not check the settings: $line"
        settings_wrong "$line"
    done
}

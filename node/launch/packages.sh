# What Debian 12 must have installed: one list to build and run, one more for the tests.

PACKAGES_UP=(
    build-essential cmake ninja-build pkg-config ccache libcmocka-dev
    libczmq-dev libzmq3-dev libpq-dev libhiredis-dev libwebsockets-dev libwebsockets-evlib-ev libev-dev
    libmsgpack-dev libjwt-dev libcurl4-openssl-dev libjansson-dev libargon2-dev libxxhash-dev libssl-dev
    postgresql-15 redis-server mosquitto-clients openssl curl ca-certificates procps util-linux
)
PACKAGES_TEST=(
    git clang clang-format libclang-rt-14-dev chromium python3 python3-pytest
    python3-paho-mqtt python3-psycopg2 python3-websockets python3-redis python3-requests
    python3-aiosmtpd mosquitto iproute2
)

# packages_missing NAME...: those not installed. Node may come from elsewhere, so it is asked by name.
packages_missing() {
    local name have
    # dpkg-query fails when one of them is unknown, and still tells the others.
    have=$({ dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null || true; } |
        sed -n 's/^installed //p')
    for name in "$@"; do
        grep -qxF -- "$name" <<<"$have" || printf '%s ' "$name"
    done
    command -v node >/dev/null || printf 'nodejs '
    command -v npm >/dev/null || printf 'npm '
}

packages_install() {
    local missing
    missing=$(packages_missing "$@")
    [[ -n $missing ]] || return 0
    if ((EUID != 0)); then
        die "packages are missing; run: sudo apt-get update && sudo apt-get install -y --no-install-recommends $missing"
    fi
    say "installing packages: $missing"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086  # a list of words
    apt-get -q update </dev/null && apt-get -q -y --no-install-recommends install $missing </dev/null ||
        die "could not install packages: $missing"
}

# The commands of ./gito, each with its options.

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

# ./gito status: the processes of this data folder, and what the cluster says of each node.

STATUS_FORMAT='%-14s %-8s %-10s %-10s %-10s %-12s %-6s %-7s %s\n'
# Of each node: region, state, incarnation, slots, those of them that move, as the database has it.
declare -A MEMBERS=()
STATUS_SQL="SELECT n.node_id, n.region, CASE WHEN n.state NOT IN ('dead', 'left')
        AND n.lease_until < now() THEN 'expired' ELSE n.state END, n.incarnation, count(s.slot),
    count(s.slot) FILTER (WHERE s.state = 'moving')
FROM cluster_nodes n LEFT JOIN cluster_slots s ON s.owner = n.node_id
WHERE n.number IS NOT NULL GROUP BY n.node_id ORDER BY 1"

read_members() {
    local name rest
    while IFS=' ' read -r name rest; do
        MEMBERS[$name]=$rest
    done < <(admin_rows "$STATUS_SQL" || true)
}

# status_line NAME PID STATE MEMBER PORTS: one row; a state other than ready makes the whole status
# 3. MEMBER is empty, or five words.
status_line() {
    local -a member
    read -ra member <<<"${4:-- - - - -}"
    # shellcheck disable=SC2059  # one format for all rows
    printf "$STATUS_FORMAT" "$1" "${2:--}" "$3" "${member[@]}" "$5"
    [[ $3 =~ ^(ready|given|elsewhere)$ ]] || STATUS=3
}

node_status() {
    local env=$NODES_HOME/$1/env pid state=stopped
    pid=$(node_pid "$1") && state=starting && node_ready "$1" && state=ready
    status_line "$1" "$pid" "$state" "${MEMBERS[$1]:-}" "mqtt $(env_get MQTT_PORT "$env")  mqtts\
 $(env_get MQTTS_PORT "$env")  http $(env_get HTTP_PORT "$env")  mesh $(env_get MESH_PORT "$env")"
}

# Nodes of the cluster that are not of this data folder; those that have gone are not told.
others_status() {
    local name
    for name in $(printf '%s\n' "${!MEMBERS[@]}" | sort); do
        node_index "$name" >/dev/null || [[ ${MEMBERS[$name]} =~ ^[^\ ]+\ (dead|left)\  ]] ||
            status_line "$name" '' elsewhere "${MEMBERS[$name]}" "not of this data folder"
    done
}

postgres_status() {
    local pid state=stopped
    if ! is_private_postgres; then
        status_line PostgreSQL '' given '' "$(env_get DATABASE_URL | sed 's/.*@//')"
        return 0
    fi
    pid=$(postgres_pid) && state=starting && postgres_answers && state=ready
    status_line PostgreSQL "$pid" "$state" '' "$PG_PORT"
}

redis_status() {
    local pid state=stopped
    if ! is_private_redis; then
        status_line Redis '' given '' "$(env_get REDIS_URL | sed 's/.*@//')"
        return 0
    fi
    pid=$(redis_pid) && state=starting && redis_answers && state=ready
    status_line Redis "$pid" "$state" '' "$REDIS_PORT"
}

command_status() {
    local name any=''
    (($# == 0)) || usage_error "status takes no options"
    STATUS=0
    for name in $(nodes_all); do
        [[ ! -r $NODES_HOME/$name/env ]] || any=1
    done
    if [[ -z $any ]]; then
        say "nothing was started in $GITO_DATA"
        return 3
    fi
    read_members
    # shellcheck disable=SC2059
    printf "$STATUS_FORMAT" NAME PID STATE REGION CLUSTER INCARNATION SLOTS MOVING PORTS
    for name in $(nodes_all); do
        [[ ! -r $NODES_HOME/$name/env ]] || node_status "$name"
    done
    others_status
    postgres_status
    redis_status
    return $STATUS
}

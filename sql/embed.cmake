# Writes sql/migrations/NNN_name.sql into one C file, MIGRATIONS_SOURCE, as bytes: string literals
# have a bounded length. A changed file configures anew.
set(MIGRATIONS_SOURCE ${CMAKE_BINARY_DIR}/migrations.c)
file(GLOB MIGRATIONS CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/sql/migrations/[0-9][0-9][0-9]_*.sql)
list(SORT MIGRATIONS)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${MIGRATIONS})
set(texts "")
set(rows "")
foreach(file ${MIGRATIONS})
    get_filename_component(name ${file} NAME_WE)
    string(REGEX REPLACE "^0*([0-9]+)_.*$" "\\1" version ${name})
    file(READ ${file} bytes HEX)
    string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
    string(APPEND texts "static const unsigned char text_${version}[] = {${bytes}0};\n")
    string(APPEND rows "    {${version}, \"${name}\", text_${version}, sizeof text_${version} - 1},\n")
endforeach()
file(CONFIGURE OUTPUT ${MIGRATIONS_SOURCE} @ONLY CONTENT "/* Made from sql/migrations by sql/embed.cmake. */
#include \"sql/migrate.h\"

@texts@
const struct migration migrations[] = {
@rows@};
const size_t migrations_count = sizeof migrations / sizeof *migrations;
")

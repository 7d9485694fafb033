#pragma once
/*
 * template - text with {tokens}, compiled once and rendered for every message.
 *
 * A token is a brace followed by a lower-case letter, so that JSON needs no escapes:
 *   {conn} {dev} {seq} {pid}   numbers          {device}   the device's uuid
 *   {tenant}                   tenant uuid      {t_us}     clock in µs modulo 10^10
 *   {clock_us}                 clock in µs since 1970
 *   {rand:LO:HI}  {rand:LO:HI:DECIMALS}  {rand:LO:HI:DECIMALS:PPM:SPIKE}
 *                              a random number; PPM times in a million SPIKE instead
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct facts {
    uint64_t conn, dev, seq, clock_us;
    uint64_t tenants;        /* device d belongs to tenant d mod tenants */
    const char *tenant_uuid; /* of 36 characters, or NULL: 00000000-0000-4000-a000-<tenant> */
    uint64_t *random;        /* state of the generator, never 0 */
};

struct template;

/* NULL with a sentence in *ret_why when a token is unknown or malformed. */
struct template *template_new(const char *text, const char **ret_why);
void template_destroy(struct template **self_p);
/* The most bytes a rendering can take. */
size_t template_max(const struct template *self);
/* Writes at `out` and returns the first byte behind what it wrote. */
uint8_t *template_render(const struct template *self, const struct facts *facts, uint8_t *out);

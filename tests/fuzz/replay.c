/*
 * replay - gives every file of the corpus folders to a fuzzer's function, in ordinary builds.
 *
 * Arguments: folders (or files). Prints how many inputs there were; exits 2 when there was none.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int give(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return -1;
    uint8_t *data = NULL;
    size_t len = 0, got;
    do {
        uint8_t *grown = realloc(data, len + 65536);
        if (grown == NULL)
            abort();
        data = grown;
        got = fread(data + len, 1, 65536, file);
        len += got;
    } while (got > 0);
    fclose(file);
    uint8_t *exact = malloc(len ? len : 1); /* so that a sanitizer sees a read past the end */
    if (exact == NULL)
        abort();
    memcpy(exact, data, len);
    (void)LLVMFuzzerTestOneInput(exact, len);
    free(exact);
    free(data);
    return 0;
}

static unsigned give_folder(const char *path)
{
    DIR *folder = opendir(path);
    if (folder == NULL)
        return give(path) == 0 ? 1 : 0;
    unsigned count = 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char name[4096];
        int n = snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.' && n > 0 && (size_t)n < sizeof name && give(name) == 0)
            count++;
    }
    closedir(folder);
    return count;
}

int main(int argc, char **argv)
{
    unsigned count = 0;
    for (int i = 1; i < argc; i++)
        count += give_folder(argv[i]);
    printf("%u inputs replayed\n", count);
    return count > 0 ? 0 : 2;
}

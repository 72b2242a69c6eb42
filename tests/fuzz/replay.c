/* Runs a target over the files of a directory, or over single files: the corpus as a test, without libFuzzer. */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST = 1 << 20 };

static int replay_file(const char *path)
{
    static uint8_t bytes[LARGEST];
    FILE *file = fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 0;
    }
    size_t size = fread(bytes, 1, sizeof bytes, file);
    int whole = feof(file);
    fclose(file);
    if (!whole) {
        fprintf(stderr, "%s: not read, or larger than %d bytes\n", path, LARGEST);
        return 0;
    }
    uint8_t *exact = fuzz_copy(bytes, size);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    return 1;
}

/* The number of files, -1 after a failure. */
static int replay_directory(const char *path)
{
    int count = 0;
    DIR *directory = opendir(path);
    if (!directory)
        return errno == ENOTDIR && replay_file(path) ? 1 : -1;
    for (struct dirent *entry; count >= 0 && (entry = readdir(directory));) {
        char name[PATH_MAX];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        count = replay_file(name) ? count + 1 : -1;
    }
    closedir(directory);
    return count;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        int count = replay_directory(argv[i]);
        if (count <= 0) {
            fprintf(stderr, "%s: nothing was run\n", argv[i]);
            return 1;
        }
        printf("%s: %d inputs\n", argv[i], count);
    }
    return 0;
}

/* Faults at the system calls that write below one folder, by LD_PRELOAD; armed by `faults_arm`, see tests/faults.py.

   Counted are: open for writing, write, pwrite, fsync, fdatasync, msync, rename, unlink, rmdir, truncate, mkdir and
   copying between files. At the call of a number the process is killed before it is carried out (of a write after its
   first half), or the call fails: once (EIO), or from then on (ENOSPC: what takes space; EROFS: all of them). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define REAL(name, ...) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))(__VA_ARGS__)

static char folder[PATH_MAX];
static int at, fault, calls, journal = -1;
static __thread int inside;

void faults_arm(const char *of, int number, int how, int to) {
    snprintf(folder, sizeof folder, "%s", of);
    at = number, fault = how, calls = 0, journal = to;
}

/* The absolute path of `path` as seen from a folder's descriptor, or of a descriptor where `path` is NULL. */
static void whole_path(int fd, const char *path, char *out) {
    char link[64];
    ssize_t length = 0;
    *out = 0;
    if (path && *path == '/') { snprintf(out, PATH_MAX, "%s", path); return; }
    if (fd == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
    else snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, out, PATH_MAX - 1);
    if (length < 0) length = 0;
    out[length] = 0;
    if (path) snprintf(out + length, PATH_MAX - length, "/%s", path);
}

static int below(const char *path) {
    size_t length = strlen(folder);
    return !strncmp(path, folder, length) && (path[length] == 0 || path[length] == '/');
}

/* 0: go on; 1: fail with errno; 2: carry out the first half, then die. takes: whether the call takes space. */
static int hit(const char *call, int fd, const char *path, int to_fd, const char *to, int takes) {
    char first[PATH_MAX], second[PATH_MAX], line[2 * PATH_MAX + 64];
    int length, answer = 0, before = errno;
    if (!*folder || inside) return 0;
    inside = 1;
    whole_path(fd, path, first);
    if (to) whole_path(to_fd, to, second); else *second = 0;
    if (!below(first) && !below(second)) { inside = 0; return 0; }
    calls++;
    length = snprintf(line, sizeof line, "%s\t%s\t%s\n", call, first, second);
    if (journal >= 0) REAL(write, journal, line, length);
    if (fault == -SIGKILL && calls == at) {
        if (takes != 2) kill(getpid(), SIGKILL);
        answer = 2;
    } else if (at > 0 && fault > 0 && ((fault == ENOSPC && takes && calls >= at) || (fault == EROFS && calls >= at) || calls == at)) {
        answer = 1;
    }
    inside = 0;
    errno = answer == 1 ? fault : before;
    return answer;
}

static int creates(const char *path, int flags) {
    struct stat about;
    return (flags & O_CREAT) && stat(path, &about) != 0;
}
static int writes(int flags) { return (flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT); }

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        va_list more; va_start(more, flags); mode_t mode = va_arg(more, int); va_end(more); \
        if (writes(flags) && hit("open", AT_FDCWD, path, 0, NULL, creates(path, flags)) == 1) return -1; \
        return REAL(name, path, flags, mode); \
    }
OPEN(open) OPEN(open64)
#define OPENAT(name) \
    int name(int fd, const char *path, int flags, ...) { \
        va_list more; va_start(more, flags); mode_t mode = va_arg(more, int); va_end(more); \
        if (writes(flags) && hit("open", fd, path, 0, NULL, (flags & O_CREAT) != 0) == 1) return -1; \
        return REAL(name, fd, path, flags, mode); \
    }
OPENAT(openat) OPENAT(openat64)

ssize_t write(int fd, const void *bytes, size_t count) {
    int how = hit("write", fd, NULL, 0, NULL, 2);
    if (how == 1) return -1;
    if (how == 2) { REAL(write, fd, bytes, count / 2); kill(getpid(), SIGKILL); }
    return REAL(write, fd, bytes, count);
}
#define PWRITE(name, offset_type) \
    ssize_t name(int fd, const void *bytes, size_t count, offset_type offset) { \
        int how = hit("pwrite", fd, NULL, 0, NULL, 2); \
        if (how == 1) return -1; \
        if (how == 2) { REAL(name, fd, bytes, count / 2, offset); kill(getpid(), SIGKILL); } \
        return REAL(name, fd, bytes, count, offset); \
    }
PWRITE(pwrite, off_t) PWRITE(pwrite64, off64_t)

#define ONE(name, takes, given, ...) \
    int name given { return hit(#name, __VA_ARGS__, takes) == 1 ? -1 : REAL
ONE(fsync, 0, (int fd), fd, NULL, 0, NULL)(fsync, fd); }
ONE(fdatasync, 0, (int fd), fd, NULL, 0, NULL)(fdatasync, fd); }
ONE(rename, 0, (const char *a, const char *b), AT_FDCWD, a, AT_FDCWD, b)(rename, a, b); }
ONE(renameat, 0, (int i, const char *a, int j, const char *b), i, a, j, b)(renameat, i, a, j, b); }
ONE(renameat2, 0, (int i, const char *a, int j, const char *b, unsigned how), i, a, j, b)(renameat2, i, a, j, b, how); }
ONE(unlink, 0, (const char *path), AT_FDCWD, path, 0, NULL)(unlink, path); }
ONE(unlinkat, 0, (int fd, const char *path, int how), fd, path, 0, NULL)(unlinkat, fd, path, how); }
ONE(rmdir, 0, (const char *path), AT_FDCWD, path, 0, NULL)(rmdir, path); }
ONE(mkdir, 1, (const char *path, mode_t mode), AT_FDCWD, path, 0, NULL)(mkdir, path, mode); }
ONE(truncate, 1, (const char *path, off_t size), AT_FDCWD, path, 0, NULL)(truncate, path, size); }
ONE(truncate64, 1, (const char *path, off64_t size), AT_FDCWD, path, 0, NULL)(truncate64, path, size); }
ONE(ftruncate, 1, (int fd, off_t size), fd, NULL, 0, NULL)(ftruncate, fd, size); }
ONE(ftruncate64, 1, (int fd, off64_t size), fd, NULL, 0, NULL)(ftruncate64, fd, size); }

/* The pages of a memory map carry no name: counted where any folder is watched. */
int msync(void *start, size_t length, int flags) {
    return hit("msync", AT_FDCWD, folder, 0, NULL, 1) == 1 ? -1 : REAL(msync, start, length, flags);
}
ssize_t sendfile64(int to, int from, off64_t *offset, size_t count) {
    ssize_t (*real)(int, int, off64_t *, size_t) = dlsym(RTLD_NEXT, "sendfile64");
    int how = hit("sendfile", to, NULL, 0, NULL, 2);
    if (how == 1) return -1;
    if (how == 2) { real(to, from, offset, count / 2); kill(getpid(), SIGKILL); }
    return real(to, from, offset, count);
}

/* Faults at the Nth change of files below a folder; loaded with LD_PRELOAD, armed by fault_arm from a forked child.

   A point is one call that changes what is on disk: open that creates or truncates, write, fsync, rename, unlink,
   mkdir. KILL ends the process there, half of a write done. REBOOT does so and empties what was written and not synced.
   FULL is a disk without room from there on, BAD one whose writes and syncs fail from there on. SHORT does about
   half of every write. What is written to mapped memory is not seen. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OFF, COUNT, KILL, REBOOT, FULL, BAD, SHORT };
enum { CREATE, WRITE, SYNC, NAME };

static int mode, wanted, points, failed;
static char folder[4096];
static size_t length;
static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

/* files that were written and not synced since, each by a descriptor of our own */
static struct { dev_t device; ino_t inode; int descriptor; } dirty[4096];
static int n_dirty;

void fault_arm(const char *below, int what, int nth)
{
    snprintf(folder, sizeof folder, "%s", below);
    length = strlen(folder);
    mode = what, wanted = nth, points = failed = n_dirty = 0;
}

int fault_points(void) { return points; }
int fault_failed(void) { return failed; }

static int ours(const char *path) { return mode && path && strncmp(path, folder, length) == 0; }

static int ours_fd(int fd)
{
    char link[64], path[4096];
    if (!mode) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return ours(path);
}

static int ours_at(int at, const char *path)
{
    char cwd[4096], whole[8192];
    if (!mode || !path) return 0;
    if (path[0] == '/') return ours(path);
    if (at != AT_FDCWD) return ours_fd(at);
    if (!getcwd(cwd, sizeof cwd)) return 0;
    snprintf(whole, sizeof whole, "%s/%s", cwd, path);
    return ours(whole);
}

static void note(int fd)
{
    struct stat status;
    if (mode != REBOOT || fstat(fd, &status) || !S_ISREG(status.st_mode)) return;
    pthread_mutex_lock(&lock);
    for (int at = 0; at < n_dirty; at++)
        if (dirty[at].device == status.st_dev && dirty[at].inode == status.st_ino) goto done;
    if (n_dirty < 4096) {
        dirty[n_dirty].device = status.st_dev, dirty[n_dirty].inode = status.st_ino;
        dirty[n_dirty++].descriptor = fcntl(fd, F_DUPFD_CLOEXEC, 200);
    }
done:
    pthread_mutex_unlock(&lock);
}

static void synced(int fd)
{
    struct stat status;
    if (mode != REBOOT || fstat(fd, &status)) return;
    pthread_mutex_lock(&lock);
    for (int at = 0; at < n_dirty; at++)
        if (dirty[at].device == status.st_dev && dirty[at].inode == status.st_ino) {
            close(dirty[at].descriptor);
            dirty[at--] = dirty[--n_dirty];
        }
    pthread_mutex_unlock(&lock);
}

static void end(void)
{
    if (mode == REBOOT)
        for (int at = 0; at < n_dirty; at++)
            if (ftruncate(dirty[at].descriptor, 0)) continue;
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

/* Counts a point; returns the errno that the call fails with, 0 for none, -1 to end the process. */
static int point(int kind)
{
    pthread_mutex_lock(&lock);
    int here = ++points, past = here >= wanted, result = 0;
    if ((mode == KILL || mode == REBOOT) && here == wanted) result = -1;
    if (mode == FULL && past && (kind == CREATE || kind == WRITE)) result = ENOSPC;
    if (mode == BAD && past && (kind == SYNC || kind == WRITE)) result = EIO;
    if (result > 0) failed++;
    pthread_mutex_unlock(&lock);
    return result;
}

#define REAL(name) static __typeof__(name) *real; if (!real) real = dlsym(RTLD_NEXT, #name)
#define STOP(kind, bad) do { int fault = point(kind); if (fault < 0) end(); if (fault) { errno = fault; return bad; } } while (0)

#define WRITER(signature, name, fd, count, call_all, call_half, call_one)                  \
    ssize_t name signature                                                                 \
    {                                                                                      \
        REAL(name);                                                                        \
        if (!ours_fd(fd)) return call_all;                                                 \
        int fault = point(WRITE);                                                          \
        note(fd);                                                                          \
        if (fault < 0) { if ((count) > 1 && call_half < 0) errno = 0; end(); }             \
        if (fault) { errno = fault; return -1; }                                           \
        return mode == SHORT && (count) > 1 ? call_one : call_all;                         \
    }

WRITER((int fd, const void *data, size_t n), write, fd, n, real(fd, data, n), real(fd, data, n / 2), real(fd, data, n / 2 + 1))
WRITER((int fd, const void *data, size_t n, off_t at), pwrite, fd, n, real(fd, data, n, at), real(fd, data, n / 2, at), real(fd, data, n / 2 + 1, at))
WRITER((int fd, const void *data, size_t n, off64_t at), pwrite64, fd, n, real(fd, data, n, at), real(fd, data, n / 2, at), real(fd, data, n / 2 + 1, at))
WRITER((int fd, const struct iovec *data, int n), writev, fd, n, real(fd, data, n), real(fd, data, n / 2), real(fd, data, n / 2 + 1))
WRITER((int fd, int from, off_t *at, size_t n), sendfile, fd, n, real(fd, from, at, n), real(fd, from, at, n / 2), real(fd, from, at, n / 2 + 1))
WRITER((int fd, int from, off64_t *at, size_t n), sendfile64, fd, n, real(fd, from, at, n), real(fd, from, at, n / 2), real(fd, from, at, n / 2 + 1))

ssize_t copy_file_range(int from, off64_t *at, int fd, off64_t *to, size_t n, unsigned int flags)
{
    REAL(copy_file_range);
    if (!ours_fd(fd)) return real(from, at, fd, to, n, flags);
    STOP(WRITE, -1);
    note(fd);
    return real(from, at, fd, to, n, flags);
}

size_t fwrite(const void *data, size_t size, size_t n, FILE *file)
{
    REAL(fwrite);
    int fd = fileno(file);
    if (!ours_fd(fd)) return real(data, size, n, file);
    note(fd);
    STOP(WRITE, 0);
    return real(data, size, n, file);
}

int fsync(int fd)
{
    REAL(fsync);
    if (ours_fd(fd)) STOP(SYNC, -1);
    int result = real(fd);
    synced(fd);
    return result;
}

int fdatasync(int fd)
{
    REAL(fdatasync);
    if (ours_fd(fd)) STOP(SYNC, -1);
    int result = real(fd);
    synced(fd);
    return result;
}

int rename(const char *from, const char *to)
{
    REAL(rename);
    if (ours_at(AT_FDCWD, from)) STOP(NAME, -1);
    return real(from, to);
}

int renameat(int at, const char *from, int other, const char *to)
{
    REAL(renameat);
    if (ours_at(at, from)) STOP(NAME, -1);
    return real(at, from, other, to);
}

int renameat2(int at, const char *from, int other, const char *to, unsigned int flags)
{
    REAL(renameat2);
    if (ours_at(at, from)) STOP(NAME, -1);
    return real(at, from, other, to, flags);
}

int unlink(const char *path)
{
    REAL(unlink);
    if (ours_at(AT_FDCWD, path)) STOP(NAME, -1);
    return real(path);
}

int unlinkat(int at, const char *path, int flags)
{
    REAL(unlinkat);
    if (ours_at(at, path)) STOP(NAME, -1);
    return real(at, path, flags);
}

int rmdir(const char *path)
{
    REAL(rmdir);
    if (ours_at(AT_FDCWD, path)) STOP(NAME, -1);
    return real(path);
}

int mkdir(const char *path, mode_t rights)
{
    REAL(mkdir);
    if (ours_at(AT_FDCWD, path)) STOP(CREATE, -1);
    return real(path, rights);
}

#define OPENER(signature, name, at, call)                                                  \
    int name signature                                                                     \
    {                                                                                      \
        mode_t rights = 0;                                                                 \
        if (flags & (O_CREAT | __O_TMPFILE)) {                                             \
            va_list more;                                                                  \
            va_start(more, flags);                                                         \
            rights = va_arg(more, mode_t);                                                 \
            va_end(more);                                                                  \
        }                                                                                  \
        REAL(name);                                                                        \
        if ((flags & (O_CREAT | O_TRUNC)) && ours_at(at, path)) STOP(CREATE, -1);          \
        return call;                                                                       \
    }

OPENER((const char *path, int flags, ...), open, AT_FDCWD, real(path, flags, rights))
OPENER((const char *path, int flags, ...), open64, AT_FDCWD, real(path, flags, rights))
OPENER((int at, const char *path, int flags, ...), openat, at, real(at, path, flags, rights))
OPENER((int at, const char *path, int flags, ...), openat64, at, real(at, path, flags, rights))

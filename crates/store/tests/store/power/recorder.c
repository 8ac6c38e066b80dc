/* Records every change of files below one folder, in the order in which they take effect.
 *
 * Loaded with LD_PRELOAD into a child that runs the store. Each call is made and written down under one lock, so the
 * order in the log is the order of the effects. What cannot be recorded (shared writable mappings, copies inside the
 * kernel) is refused, or noted as a hole, which the reader of the log takes as a failure. That the log is complete is
 * shown by playing it: the files must come out byte for byte.
 *
 * Record, little-endian: kind 1 | inode 8 | offset 8 | first length 4 | second length 4 | first bytes | second bytes.
 *
 *   C create (inode, path)    M make folder (inode, path)   W write (inode, offset, -, data)   T truncate (inode, length)
 *   S flush (inode)           R rename (path, path)         L link (path, path)                U unlink or rmdir (path)
 *   A line on standard output (data)                        X something that cannot be recorded (name)
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static size_t root_len;
static int log_fd = -1;

__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("COMITY_RECORD_ROOT"), *log = getenv("COMITY_RECORD_LOG");
    if (!folder || !log) return;
    snprintf(root, sizeof root, "%s", folder);
    root_len = strlen(root);
    log_fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0) abort();
}

static void put(char kind, uint64_t inode, uint64_t offset, const void *first, size_t first_len, const void *second,
                size_t second_len) {
    char head[25];
    uint32_t one = (uint32_t)first_len, two = (uint32_t)second_len;
    head[0] = kind;
    memcpy(head + 1, &inode, 8);
    memcpy(head + 9, &offset, 8);
    memcpy(head + 17, &one, 4);
    memcpy(head + 21, &two, 4);
    struct iovec parts[3] = {{head, sizeof head}, {(void *)first, first_len}, {(void *)second, second_len}};
    ssize_t want = (ssize_t)(sizeof head + first_len + second_len);
    if (syscall(SYS_writev, log_fd, parts, 3) != want) abort();
}

static int below(const char *path) {
    return log_fd >= 0 && strncmp(path, root, root_len) == 0 && (path[root_len] == '/' || path[root_len] == 0);
}

/* Gives the absolute path of a name in a folder. No links are followed: there are none. */
static void absolute(int folder, const char *name, char *out) {
    char base[PATH_MAX] = "", link[64];
    if (name[0] != '/') {
        if (folder == AT_FDCWD) {
            if (!getcwd(base, sizeof base)) base[0] = 0;
        } else {
            snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
            ssize_t len = readlink(link, base, sizeof base - 1);
            base[len > 0 ? len : 0] = 0;
        }
    }
    int len = name[0] == '/' ? snprintf(out, PATH_MAX, "%s", name) : snprintf(out, PATH_MAX, "%s/%s", base, name);
    while (len > 1 && out[len - 1] == '/') out[--len] = 0;
}

/* Gives the inode of an open file below the root; 0 for all others. */
static uint64_t inode_of(int fd) {
    char path[PATH_MAX], link[64];
    struct stat stat;
    if (log_fd < 0 || fd == log_fd || fstat(fd, &stat) != 0) return 0;
    if (!S_ISREG(stat.st_mode) && !S_ISDIR(stat.st_mode)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len <= 0) return 0;
    path[len] = 0;
    return below(path) ? stat.st_ino : 0;
}

static const char *relative(const char *path) {
    return path[root_len] ? path + root_len + 1 : path + root_len;
}

static int open_at(int folder, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX] = "";
    struct stat before, after;
    if (log_fd < 0) return (int)syscall(SYS_openat, folder, name, flags, mode);
    absolute(folder, name, path);
    if (!below(path)) return (int)syscall(SYS_openat, folder, name, flags, mode);
    pthread_mutex_lock(&lock);
    int existed = lstat(path, &before) == 0;
    int fd = (int)syscall(SYS_openat, folder, name, flags, mode);
    int error = errno;
    if (fd >= 0 && fstat(fd, &after) == 0) {
        const char *inside = relative(path);
        if ((flags & O_TMPFILE) == O_TMPFILE) put('X', 0, 0, "O_TMPFILE", 9, 0, 0);
        if (!existed) put('C', after.st_ino, 0, inside, strlen(inside), 0, 0);
        else if ((flags & O_TRUNC) && before.st_size > 0) put('T', after.st_ino, 0, 0, 0, 0, 0);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return fd;
}

#define OPEN(name, flags)                                          \
    mode_t mode = 0;                                               \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                         \
        va_list rest;                                              \
        va_start(rest, flags);                                     \
        mode = va_arg(rest, mode_t);                               \
        va_end(rest);                                              \
    }
int open(const char *name, int flags, ...) { OPEN(name, flags) return open_at(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { OPEN(name, flags) return open_at(AT_FDCWD, name, flags | O_LARGEFILE, mode); }
int openat(int folder, const char *name, int flags, ...) { OPEN(name, flags) return open_at(folder, name, flags, mode); }
int openat64(int folder, const char *name, int flags, ...) { OPEN(name, flags) return open_at(folder, name, flags | O_LARGEFILE, mode); }
int creat(const char *name, mode_t mode) { return open_at(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }

/* Makes a write and records the bytes that were taken. `at` below 0 means at the file's own position. */
static ssize_t write_to(int fd, const struct iovec *parts, int count, off_t at) {
    uint64_t inode = inode_of(fd);
    int spoken = fd == 1 && log_fd >= 0;
    if (!inode && !spoken)
        return at < 0 ? syscall(SYS_writev, fd, parts, count) : syscall(SYS_pwritev, fd, parts, count, at, 0);
    pthread_mutex_lock(&lock);
    off_t start = at;
    struct stat stat;
    if (inode && at < 0) {
        start = lseek(fd, 0, SEEK_CUR);
        if ((fcntl(fd, F_GETFL) & O_APPEND) && fstat(fd, &stat) == 0) start = stat.st_size;
    }
    ssize_t taken = at < 0 ? syscall(SYS_writev, fd, parts, count) : syscall(SYS_pwritev, fd, parts, count, at, 0);
    int error = errno;
    ssize_t left = taken;
    for (int i = 0; i < count && left > 0; i++) {
        size_t len = parts[i].iov_len < (size_t)left ? parts[i].iov_len : (size_t)left;
        if (len) put(inode ? 'W' : 'A', inode, inode ? (uint64_t)start : 0, 0, 0, parts[i].iov_base, len);
        start += (off_t)len;
        left -= (ssize_t)len;
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return taken;
}

ssize_t write(int fd, const void *data, size_t len) {
    struct iovec part = {(void *)data, len};
    return write_to(fd, &part, 1, -1);
}
ssize_t writev(int fd, const struct iovec *parts, int count) { return write_to(fd, parts, count, -1); }
ssize_t pwrite(int fd, const void *data, size_t len, off_t at) {
    struct iovec part = {(void *)data, len};
    return write_to(fd, &part, 1, at);
}
ssize_t pwrite64(int fd, const void *data, size_t len, off64_t at) { return pwrite(fd, data, len, at); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) { return write_to(fd, parts, count, at); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) { return write_to(fd, parts, count, at); }

/* Wraps a call with one outcome: 0, then recorded. */
#define RECORDED(tracked, call, record)                            \
    if (!(tracked)) return call;                                   \
    pthread_mutex_lock(&lock);                                     \
    int result = call;                                             \
    int error = errno;                                             \
    if (result == 0) { record; }                                   \
    pthread_mutex_unlock(&lock);                                   \
    errno = error;                                                 \
    return result;

int ftruncate(int fd, off_t len) {
    uint64_t inode = inode_of(fd);
    RECORDED(inode, (int)syscall(SYS_ftruncate, fd, len), put('T', inode, (uint64_t)len, 0, 0, 0, 0))
}
int ftruncate64(int fd, off64_t len) { return ftruncate(fd, len); }
int fsync(int fd) {
    uint64_t inode = inode_of(fd);
    RECORDED(inode, (int)syscall(SYS_fsync, fd), put('S', inode, 0, 0, 0, 0, 0))
}
int fdatasync(int fd) {
    uint64_t inode = inode_of(fd);
    RECORDED(inode, (int)syscall(SYS_fdatasync, fd), put('S', inode, 0, 0, 0, 0, 0))
}

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    char one[PATH_MAX] = "", two[PATH_MAX] = "";
    absolute(from_folder, from, one);
    absolute(to_folder, to, two);
    const char *a = relative(one), *b = relative(two);
    RECORDED(below(one) && below(two), (int)syscall(SYS_renameat, from_folder, from, to_folder, to),
             put('R', 0, 0, a, strlen(a), b, strlen(b)))
}
int rename(const char *from, const char *to) { return renameat(AT_FDCWD, from, AT_FDCWD, to); }
int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    char one[PATH_MAX] = "", two[PATH_MAX] = "";
    absolute(from_folder, from, one);
    absolute(to_folder, to, two);
    const char *a = relative(one), *b = relative(two);
    RECORDED(below(one) && below(two), (int)syscall(SYS_linkat, from_folder, from, to_folder, to, flags),
             put('L', 0, 0, a, strlen(a), b, strlen(b)))
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }
int unlinkat(int folder, const char *name, int flags) {
    char path[PATH_MAX] = "";
    absolute(folder, name, path);
    const char *a = relative(path);
    RECORDED(below(path), (int)syscall(SYS_unlinkat, folder, name, flags), put('U', 0, 0, a, strlen(a), 0, 0))
}
int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }
int mkdirat(int folder, const char *name, mode_t mode) {
    char path[PATH_MAX] = "";
    struct stat stat;
    absolute(folder, name, path);
    const char *a = relative(path);
    RECORDED(below(path), (int)syscall(SYS_mkdirat, folder, name, mode),
             if (lstat(path, &stat) == 0) put('M', stat.st_ino, 0, a, strlen(a), 0, 0))
}
int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }

/* No durability comes of this call, so nothing is recorded. */
int sync_file_range(int fd, off64_t at, off64_t len, unsigned int flags) {
    return (int)syscall(SYS_sync_file_range, fd, at, len, flags);
}

/* Refused: whoever calls falls back to plain writes. */
ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t len, unsigned int flags) {
    (void)in, (void)in_at, (void)out, (void)out_at, (void)len, (void)flags;
    errno = ENOSYS;
    return -1;
}
ssize_t sendfile64(int out, int in, off64_t *at, size_t len) {
    (void)in, (void)out, (void)at, (void)len;
    errno = ENOSYS;
    return -1;
}
ssize_t sendfile(int out, int in, off_t *at, size_t len) { return sendfile64(out, in, at, len); }

/* Holes in the record. */
static void hole(int fd, const char *what) {
    if (!inode_of(fd)) return;
    pthread_mutex_lock(&lock);
    put('X', 0, 0, what, strlen(what), 0, 0);
    pthread_mutex_unlock(&lock);
}
int fallocate(int fd, int mode, off_t at, off_t len) {
    hole(fd, "fallocate");
    return (int)syscall(SYS_fallocate, fd, mode, at, len);
}
int fallocate64(int fd, int mode, off64_t at, off64_t len) { return fallocate(fd, mode, at, len); }
int posix_fallocate(int fd, off_t at, off_t len) {
    hole(fd, "posix_fallocate");
    return syscall(SYS_fallocate, fd, 0, at, len) == 0 ? 0 : errno;
}
int truncate(const char *name, off_t len) {
    char path[PATH_MAX] = "";
    absolute(AT_FDCWD, name, path);
    if (below(path)) abort();
    return (int)syscall(SYS_truncate, name, len);
}
void *mmap(void *address, size_t len, int protection, int flags, int fd, off_t at) {
    if (fd >= 0 && (flags & MAP_SHARED) && (protection & PROT_WRITE)) hole(fd, "mmap");
    return (void *)syscall(SYS_mmap, address, len, protection, flags, fd, at);
}

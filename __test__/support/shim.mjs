// A library before libc's `fdatasync` and `fsync`, for what no file system does on demand: slow syncs, failing ones,
// and a list of all of them. Compiled with `cc` when a test asks for it; where there is none the test says so.
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { start } from './children.mjs'
import { newPath } from './stores.mjs'

// Everything is asked for at each sync, in files beside the library, so that a test can change it while a child runs.
const SOURCE = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static int sync_file(const char *call, int fd) {
  const char *shim = getenv("BNA_SHIM");
  char link[64], path[4096], line[4500], name[4200], text[32];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  path[length < 0 ? 0 : length] = 0;
  double begun = now();
  int is_log = strstr(path, "keys.") != NULL;
  int result = 0, error = 0;
  snprintf(name, sizeof name, "%s/%s", shim, is_log ? "delay" : "delay-other");
  int delay = open(name, O_RDONLY);
  if (delay >= 0) {
    length = read(delay, text, sizeof text - 1);
    text[length < 0 ? 0 : length] = 0;
    close(delay);
    usleep(atoi(text) * 1000);
  }
  struct stat kind;
  int is_folder = fstat(fd, &kind) == 0 && S_ISDIR(kind.st_mode);
  const char *which = strstr(path, "keys.tmp") ? "fail-new" : is_log ? "fail" : is_folder ? "fail-folder" : "fail-other";
  snprintf(name, sizeof name, "%s/%s", shim, which);
  int fail = open(name, O_RDONLY);
  if (fail >= 0) {
    length = read(fail, text, sizeof text - 1);
    text[length < 0 ? 0 : length] = 0;
    close(fail);
    unlink(name);
    result = -1;
    error = length > 0 ? atoi(text) : EIO;
  } else {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, call);
    result = real(fd);
    error = errno;
  }
  snprintf(name, sizeof name, "%s/log", shim);
  int log = open(name, O_WRONLY | O_APPEND | O_CREAT, 0600);
  length = snprintf(line, sizeof line, "%s\\t%f\\t%f\\t%d\\t%s\\n", call, begun, now(), result, path);
  if (write(log, line, length) < 0) abort();
  close(log);
  errno = error;
  return result;
}

int fdatasync(int fd) { return sync_file("fdatasync", fd); }
int fsync(int fd) { return sync_file("fsync", fd); }
`

/** The shim, or undefined after saying aloud that there is no C compiler or no `LD_PRELOAD` here. */
export function makeShim(t) {
  const folder = newPath(t, 'shim')
  fs.mkdirSync(folder)
  const library = path.join(folder, 'shim.so')
  try {
    if (process.platform !== 'linux') throw new Error(`no LD_PRELOAD on ${process.platform}`)
    fs.writeFileSync(path.join(folder, 'shim.c'), SOURCE)
    execFileSync('cc', ['-shared', '-fPIC', '-O1', '-o', library, path.join(folder, 'shim.c'), '-ldl'], { stdio: 'pipe' })
  } catch (error) {
    t.skip(`the shim before fdatasync cannot be built: ${error.stderr || error.message}`)
    return undefined
  }
  const file = name => path.join(folder, name)
  return {
    folder,
    /** From now on each sync of a log takes so much longer. */
    delay: ms => fs.writeFileSync(file('delay'), String(ms)),
    /**
     * The next sync of a log fails with EIO, and syncs nothing. A file `fail-new` does so for a log in the making,
     * `fail-folder` for a folder, `fail-other` for all else; a number in it is the error.
     */
    failOnce: () => fs.writeFileSync(file('fail'), ''),
    /** Every sync so far, in milliseconds of `process.hrtime`. */
    syncs() {
      if (!fs.existsSync(file('log'))) return []
      const lines = fs.readFileSync(file('log'), 'utf8').trim().split('\n')
      return lines.map(line => {
        const [call, begun, ended, result, name] = line.split('\t')
        return { call, begun: Number(begun), ended: Number(ended), result: Number(result), name: path.basename(name), path: name, isLog: name.includes('keys.') }
      })
    },
    /** As `start` of `children.mjs`, with the shim; the snippet also knows `now()`, on the clock of `syncs()`. */
    start(code, account, ...args) {
      const env = { LD_PRELOAD: library, BNA_SHIM: folder }
      // The child takes the environment at its spawn; this process must not keep it.
      Object.assign(process.env, env)
      try {
        return start(t, `const now = () => Number(process.hrtime.bigint()) / 1e6\n${code}`, account, ...args)
      } finally {
        for (const name in env) delete process.env[name]
      }
    },
    async run(code, account, ...args) {
      const end = await this.start(code, account, ...args).ended
      if (end.code !== 0) throw new Error(`the child ended with ${end.code ?? end.signal}: ${end.stderr}`)
      return { ...end, result: end.reports.at(-1) }
    },
  }
}

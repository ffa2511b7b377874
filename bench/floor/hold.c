// Opens COUNT keep-alive connections, sends one request on each, reads the whole answer, prints "holding COUNT", and then
// holds them idle until its standard input ends. What the proxy grew by meanwhile is what idle clients cost it.
// At most WINDOW exchanges are under way at once, so the proxy's origin pool stays small.
// Leaves with resets, so that nothing of it lingers in the kernel.
// Compiled with -DWITH_TLS -lssl -lcrypto it speaks TLS: a full handshake each, and as little kept of it as OpenSSL can.
// usage: hold PORT COUNT PATH
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef WITH_TLS
#include <openssl/ssl.h>
typedef SSL *Way;
static SSL_CTX *context;
#else
typedef int Way;
#endif

#define WINDOW 32

static int open_one(struct sockaddr_in *at) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) { perror("hold: socket"); exit(1); }
  struct linger reset = {.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  struct timeval patience = {.tv_sec = 10};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (connect(fd, (struct sockaddr *)at, sizeof *at)) { perror("hold: connect"); exit(1); }
  return fd;
}

#ifdef WITH_TLS
static Way begin(int fd) {
  if (!context) {
    context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  }
  SSL *way = SSL_new(context);
  if (!way || !SSL_set_fd(way, fd) || SSL_connect(way) != 1) { fprintf(stderr, "hold: no handshake\n"); exit(1); }
  return way;
}
static ssize_t say(Way way, const char *bytes, size_t count) { return SSL_write(way, bytes, (int)count); }
static ssize_t hear(Way way, char *bytes, size_t count) { return SSL_read(way, bytes, (int)count); }
#else
static Way begin(int fd) { return fd; }
static ssize_t say(Way way, const char *bytes, size_t count) { return send(way, bytes, count, MSG_NOSIGNAL); }
static ssize_t hear(Way way, char *bytes, size_t count) { return recv(way, bytes, count, 0); }
#endif

// Reads one answer: a head with Content-Length, then that many bytes.
static void read_answer(Way way) {
  static char bytes[64 * 1024];
  size_t have = 0, whole = 0;
  while (!whole || have < whole) {
    ssize_t got = hear(way, bytes + have, sizeof bytes - 1 - have);
    if (got <= 0) { fprintf(stderr, "hold: no complete answer: %s\n", got ? strerror(errno) : "closed"); exit(1); }
    have += (size_t)got;
    bytes[have] = 0;
    char *end = strstr(bytes, "\r\n\r\n"), *length = strcasestr(bytes, "\r\nContent-Length: ");
    if (end && !whole) {
      if (!length || length > end) { fprintf(stderr, "hold: an answer without Content-Length\n"); exit(1); }
      whole = (size_t)(end + 4 - bytes) + (size_t)atol(length + 18);
      if (whole >= sizeof bytes) { fprintf(stderr, "hold: the answer is too large\n"); exit(1); }
    }
  }
}

int main(int argc, char **argv) {
  if (argc != 4) { fprintf(stderr, "usage: hold PORT COUNT PATH\n"); return 2; }
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int count = atoi(argv[2]);
  int *fds = calloc((size_t)count, sizeof *fds);
  Way *ways = calloc((size_t)count, sizeof *ways);
  char request[1024];
  int bytes = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\n\r\n", argv[3], argv[1]);
  if (!fds || !ways || bytes >= (int)sizeof request) { fprintf(stderr, "hold: bad arguments\n"); return 2; }
  for (int first = 0; first < count; first += WINDOW) {
    int after = first + WINDOW < count ? first + WINDOW : count;
    for (int i = first; i < after; i++) {
      fds[i] = open_one(&at);
      ways[i] = begin(fds[i]);
      if (say(ways[i], request, (size_t)bytes) != bytes) { perror("hold: send"); return 1; }
    }
    for (int i = first; i < after; i++) read_answer(ways[i]);
  }
  printf("holding %d\n", count);
  fflush(stdout);
  char ignored[64];
  while (read(0, ignored, sizeof ignored) > 0) {}
  int closed = 0;  // a connection that ended while it should have been held would make the figure look too good
  for (int i = 0; i < count; i++) {
    struct pollfd now = {.fd = fds[i], .events = POLLIN};
    closed += poll(&now, 1, 0) > 0;
  }
  printf("closed %d\n", closed);
  return 0;
}

// Makes full TLS handshakes: THREADS at once, each again and again for SECONDS opens a connection, shakes hands without a
// ticket, sends one request that asks for the close, reads to the end and closes. No session is ever resumed, and one that
// is counts as a fault, so what a proxy spends here is what a first visit costs it. (wrk resumes, so it cannot tell.)
// Prints "requests N", "seconds S", "p50 US", "p99 US", "faults N".   Compiled with -lssl -lcrypto -lpthread.
// usage: shake PORT THREADS SECONDS PATH
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TOOK_MAX 2000000

static struct sockaddr_in at;
static SSL_CTX *context;
static char request[1024];
static int request_bytes;
static double until;
static unsigned took[TOOK_MAX];  // microseconds of each connection that went well
static unsigned took_count, faults;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

// One connection from its beginning to its end; 1 when it was a full handshake and a whole answer.
static int visit(void) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return 0;
  struct timeval patience = {.tv_sec = 10};
  int yes = 1, good = 0;
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  SSL *way = SSL_new(context);
  if (way && !connect(fd, (struct sockaddr *)&at, sizeof at) && SSL_set_fd(way, fd) && SSL_connect(way) == 1 &&
      !SSL_session_reused(way) && SSL_write(way, request, request_bytes) == request_bytes) {
    char bytes[4096];
    int got = 0, first = SSL_read(way, bytes, sizeof bytes);
    good = first >= 12 && !memcmp(bytes, "HTTP/1.1 200", 12);
    while (first > 0 && (got = SSL_read(way, bytes, sizeof bytes)) > 0) {}
    good = good && SSL_get_error(way, got) == SSL_ERROR_ZERO_RETURN;
  }
  SSL_free(way);
  close(fd);
  return good;
}

static void *visits(void *unused) {
  for (double began = now(); began < until; began = now()) {
    if (!visit()) {
      __atomic_add_fetch(&faults, 1, __ATOMIC_RELAXED);
      continue;
    }
    unsigned place = __atomic_fetch_add(&took_count, 1, __ATOMIC_RELAXED);
    if (place < TOOK_MAX) took[place] = (unsigned)((now() - began) * 1e6);
  }
  return unused;
}

static int by_size(const void *a, const void *b) {
  unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
  return x < y ? -1 : x > y;
}

int main(int argc, char **argv) {
  if (argc != 5) { fprintf(stderr, "usage: shake PORT THREADS SECONDS PATH\n"); return 2; }
  signal(SIGPIPE, SIG_IGN);
  at = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const char *form = "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nConnection: close\r\n\r\n";
  request_bytes = snprintf(request, sizeof request, form, argv[4], argv[1]);
  int count = atoi(argv[2]);
  pthread_t *threads = calloc((size_t)count, sizeof *threads);
  context = SSL_CTX_new(TLS_client_method());
  if (!threads || !context || request_bytes >= (int)sizeof request) { fprintf(stderr, "shake: bad arguments\n"); return 2; }
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  double began = now();
  until = began + atof(argv[3]);
  for (int i = 0; i < count; i++) {
    if (pthread_create(&threads[i], NULL, visits, NULL)) { fprintf(stderr, "shake: no thread\n"); return 1; }
  }
  for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
  double lasted = now() - began;
  unsigned known = took_count < TOOK_MAX ? took_count : TOOK_MAX;
  qsort(took, known, sizeof *took, by_size);
  printf("requests %u\nseconds %.3f\np50 %u\np99 %u\nfaults %u\n", took_count, lasted, took[known / 2], took[known / 100 * 99], faults);
  return 0;
}

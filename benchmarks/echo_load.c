/* echo_load: sends pre-signed webhook requests and, in the same process and event
 * loop, plays the outbound API ("sink") that the bot under test replies to.
 *
 * One epoll loop on one core drives both sides, so that send, ack and reply times
 * come from one clock. Requests are built ahead by versus.py: nothing is signed,
 * formatted or allocated per event while measuring.
 *
 *   closed loop (default)  each connection sends its next event on its last ack
 *   --rate R               events fall due at R/s; latency counts from the due time
 *   --inflight W           at most W events sent and not yet replied to
 *   --first N              start from event N of the file (a bot may drop repeats), and
 *                          ignore replies to earlier ones: they belong to an earlier load,
 *                          whose end has cut their call off, so the bot repeats it
 *
 * Every event carries the marker "evt-<9 digits>" and its reply must carry it too:
 * that is how replies are matched, counted and checked for per-chat order
 * (event i belongs to chat i % C, and is not sent before event i - C is answered).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BUF = 1 << 16, MAX_CANNED = 16, MAX_SINK_CONNS = 8192 };
enum kind { LISTENER, CLIENT, SINK };

struct conn {
    enum kind kind;
    int fd;
    uint32_t generation; /* guards delayed answers against a reused slot */
    int busy;
    uint32_t event;
    uint64_t due;
    size_t used;
    char *buf;
};

struct canned { char needle[128]; char *response; size_t length; };
struct delayed { uint64_t at; struct conn *conn; uint32_t generation; int canned; };
struct samples { uint64_t *v; size_t n, cap; };

static int epoll_fd;
static volatile sig_atomic_t interrupted;
static struct sockaddr_in target;

static const char *requests;
static size_t *offsets;
static uint32_t event_count, chats = 1000, first_event, next_event, sent, acked;
static uint64_t *due_at;
static uint8_t *was_settled, *was_replied; /* settled: answered at all, or its connection lost */
static int64_t *last_replied;
static int wrap_events;

static struct canned canned[MAX_CANNED];
static int canned_count;
static struct delayed *delayed;
static size_t delayed_head, delayed_tail, delayed_cap = 1 << 20;
static uint64_t sink_delay_ns;

static uint64_t window_from = UINT64_MAX, window_to = UINT64_MAX;
static struct samples ack_ns, reply_ns;
static uint64_t window_acked, window_replied, replied, non_2xx, conn_errors;
static uint64_t duplicates, out_of_order, unmatched, sink_conns;

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what) { perror(what); exit(1); }

static void record(struct samples *s, uint64_t value) {
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 1 << 20;
        s->v = realloc(s->v, s->cap * sizeof *s->v);
        if (!s->v) die("realloc");
    }
    s->v[s->n++] = value;
}

/* Loopback writes of a few KiB nearly always complete; when not, wait here. */
static int write_all(int fd, const char *p, size_t n) {
    while (n) {
        ssize_t w = send(fd, p, n, MSG_NOSIGNAL);
        if (w > 0) { p += w; n -= (size_t)w; continue; }
        if (w < 0 && (errno == EAGAIN || errno == EINTR)) {
            struct pollfd pfd = { fd, POLLOUT, 0 };
            if (poll(&pfd, 1, 1000) >= 0) continue;
        }
        return -1;
    }
    return 0;
}

static void watch(struct conn *c) {
    struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &ev)) die("epoll_ctl");
}

static void prepare(int fd) {
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static int connect_client(struct conn *c) {
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&target, sizeof target)) {
        if (c->fd >= 0) close(c->fd);
        c->fd = -1;
        return -1;
    }
    prepare(c->fd);
    c->used = 0;
    c->busy = 0;
    watch(c);
    return 0;
}

/* Length of the complete HTTP message at p, 0 when more bytes are needed. */
static size_t message_length(const char *p, size_t n, int is_response) {
    const char *end = memmem(p, n, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t head = (size_t)(end - p) + 4, body = 0;
    int chunked = 0;
    for (const char *line = memchr(p, '\n', head); line && line < end; line = memchr(line, '\n', (size_t)(end + 2 - line))) {
        line++;
        if (!strncasecmp(line, "content-length:", 15)) body = strtoul(line + 15, NULL, 10);
        else if (!strncasecmp(line, "transfer-encoding: chunked", 26)) chunked = 1;
    }
    if (is_response && (!memcmp(p + 9, "204", 3) || !memcmp(p + 9, "304", 3))) return head;
    if (chunked) {
        const char *last = memmem(p + head - 2, n - head + 2, "\r\n0\r\n\r\n", 7);
        return last ? (size_t)(last + 7 - p) : 0;
    }
    return n >= head + body ? head + body : 0;
}

static void settle(struct conn *c) {
    c->busy = 0;
    if (!wrap_events) was_settled[c->event] = 1;
}

static int send_event(struct conn *c, uint32_t event, uint64_t due) {
    uint32_t slot = event % event_count;
    c->busy = 1;
    c->event = event;
    c->due = due;
    if (!wrap_events) due_at[slot] = due;
    sent++;
    if (write_all(c->fd, requests + offsets[slot], offsets[slot + 1] - offsets[slot] - 4)) {
        settle(c);
        conn_errors++;
        close(c->fd);
        return connect_client(c);
    }
    return 0;
}

static void on_ack(struct conn *c, const char *p) {
    uint64_t t = now_ns();
    int status = atoi(p + 9);
    settle(c);
    if (status < 200 || status > 299) non_2xx++;
    else {
        acked++;
        if (t >= window_from && t < window_to) {
            window_acked++;
            record(&ack_ns, t - c->due);
        }
    }
}

static void on_reply(const char *p, size_t n) {
    const char *m = memmem(p, n, "evt-", 4);
    if (!m || m + 13 > p + n) { unmatched++; return; }
    uint32_t event = (uint32_t)strtoul(m + 4, NULL, 10);
    uint64_t t = now_ns();
    if (!event_count) { replied++; return; } /* sink only */
    if (event < first_event) return;
    if (event >= event_count) { unmatched++; return; }
    if (was_replied[event]++) { duplicates++; return; }
    replied++;
    if (last_replied[event % chats] > (int64_t)event) out_of_order++;
    else last_replied[event % chats] = event;
    if (t >= window_from && t < window_to) {
        window_replied++;
        record(&reply_ns, t - due_at[event]);
    }
}

static int pick_canned(const char *p, size_t n) {
    const char *eol = memchr(p, '\r', n);
    for (int i = 0; i < canned_count; i++)
        if (memmem(p, (size_t)(eol - p), canned[i].needle, strlen(canned[i].needle))) return i;
    return canned_count - 1;
}

static void on_sink_request(struct conn *c, const char *p, size_t n) {
    int answer = pick_canned(p, n);
    if (answer == canned_count - 1) on_reply(p, n); /* the last canned answer is the send call */
    if (sink_delay_ns) {
        delayed[delayed_tail++ % delayed_cap] = (struct delayed){ now_ns() + sink_delay_ns, c, c->generation, answer };
        return;
    }
    write_all(c->fd, canned[answer].response, canned[answer].length);
}

static void on_readable(struct conn *c) {
    ssize_t r = recv(c->fd, c->buf + c->used, BUF - c->used, 0);
    if (r < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (r <= 0) {
        close(c->fd);
        c->generation++;
        if (c->kind == CLIENT) {
            if (c->busy) settle(c), conn_errors++;
            connect_client(c);
        } else c->fd = -1;
        return;
    }
    c->used += (size_t)r;
    size_t at = 0, len;
    while (at < c->used && (len = message_length(c->buf + at, c->used - at, c->kind == CLIENT))) {
        if (c->kind == CLIENT) on_ack(c, c->buf + at);
        else on_sink_request(c, c->buf + at, len);
        at += len;
    }
    if (at) memmove(c->buf, c->buf + at, c->used - at), c->used -= at;
    if (c->used == BUF) { fprintf(stderr, "message over %d bytes\n", BUF); exit(1); }
}

static struct conn sink_slots[MAX_SINK_CONNS];

static void on_accept(int listener) {
    int fd;
    while ((fd = accept(listener, NULL, NULL)) >= 0) {
        struct conn *c = NULL;
        for (int i = 0; i < MAX_SINK_CONNS && !c; i++)
            if (sink_slots[i].fd < 0) c = &sink_slots[i];
        if (!c) { fprintf(stderr, "too many sink connections\n"); exit(1); }
        prepare(fd);
        c->kind = SINK;
        c->fd = fd;
        c->used = 0;
        if (!c->buf) c->buf = malloc(BUF);
        sink_conns++;
        watch(c);
    }
}

static void listen_sink(int port) {
    static struct conn l = { .kind = LISTENER };
    int one = 1;
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    inet_pton(AF_INET, "127.0.0.1", &a.sin_addr);
    l.fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(l.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(l.fd, (struct sockaddr *)&a, sizeof a) || listen(l.fd, 4096)) die("sink bind");
    fcntl(l.fd, F_SETFL, O_NONBLOCK);
    for (int i = 0; i < MAX_SINK_CONNS; i++) sink_slots[i].fd = -1;
    delayed = calloc(delayed_cap, sizeof *delayed);
    watch(&l);
}

/* Canned answers, one per line: path substring, TAB, status line tail, TAB, JSON body.
 * The first match answers; the last line also is the send call that counts as a reply. */
static void load_canned(const char *path) {
    FILE *f = fopen(path, "r");
    char line[8192];
    if (!f) die(path);
    while (fgets(line, sizeof line, f) && canned_count < MAX_CANNED) {
        line[strcspn(line, "\n")] = 0;
        char *status = strchr(line, '\t');
        if (!status) continue;
        *status++ = 0;
        char *body = strchr(status, '\t');
        if (!body) continue;
        *body++ = 0;
        struct canned *c = &canned[canned_count++];
        snprintf(c->needle, sizeof c->needle, "%.127s", line);
        c->length = (size_t)asprintf(&c->response,
            "HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n%s", status, strlen(body), body);
    }
    fclose(f);
}

static void load_requests(const char *path) {
    int fd = open(path, O_RDONLY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st)) die(path);
    requests = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (requests == MAP_FAILED) die("mmap");
    size_t cap = 1 << 16, at = 0;
    offsets = malloc(cap * sizeof *offsets);
    while (at + 4 <= (size_t)st.st_size) {
        uint32_t len;
        memcpy(&len, requests + at, 4);
        if (event_count + 2 > cap) offsets = realloc(offsets, (cap *= 2) * sizeof *offsets);
        offsets[event_count++] = at + 4;
        at += 4 + len;
    }
    offsets[event_count] = at + 4;
    due_at = calloc(event_count, sizeof *due_at);
    was_settled = calloc(event_count, 1);
    was_replied = calloc(event_count, 1);
    last_replied = malloc(chats * sizeof *last_replied);
    for (uint32_t i = 0; i < chats; i++) last_replied[i] = -1;
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void print_samples(const char *name, struct samples *s) {
    printf(",\"%s\":", name);
    if (!s->n) { printf("null"); return; }
    qsort(s->v, s->n, sizeof *s->v, by_value);
    const double q[] = { 0.5, 0.95, 0.99, 0.999, 1 };
    const char *label[] = { "p50", "p95", "p99", "p999", "max" };
    for (int i = 0; i < 5; i++) {
        size_t at = (size_t)(q[i] * (double)(s->n - 1));
        printf("%s\"%s\":%.4f", i ? "," : "{", label[i], (double)s->v[at] / 1e6);
    }
    printf("}");
}

static void on_signal(int s) { (void)s; interrupted = 1; }

int main(int argc, char **argv) {
    const char *requests_path = NULL, *canned_path = NULL, *host = "127.0.0.1";
    int port = 8000, sink_port = 0, connections = 64, inflight = 0;
    double warmup = 1, seconds = 5, rate = 0, drain = 2;
    static const struct option options[] = {
        { "requests", 1, 0, 'r' }, { "port", 1, 0, 'p' }, { "connections", 1, 0, 'k' }, { "warmup", 1, 0, 'w' },
        { "seconds", 1, 0, 's' }, { "rate", 1, 0, 'R' }, { "inflight", 1, 0, 'i' }, { "chats", 1, 0, 'c' },
        { "sink", 1, 0, 'S' }, { "canned", 1, 0, 'C' }, { "sink-delay-ms", 1, 0, 'D' }, { "drain", 1, 0, 'd' },
        { "first", 1, 0, 'f' },
        { "wrap", 0, 0, 'W' }, { 0, 0, 0, 0 } };
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) switch (o) {
        case 'r': requests_path = optarg; break;
        case 'p': port = atoi(optarg); break;
        case 'k': connections = atoi(optarg); break;
        case 'w': warmup = atof(optarg); break;
        case 's': seconds = atof(optarg); break;
        case 'R': rate = atof(optarg); break;
        case 'i': inflight = atoi(optarg); break;
        case 'c': chats = (uint32_t)atoi(optarg); break;
        case 'S': sink_port = atoi(optarg); break;
        case 'C': canned_path = optarg; break;
        case 'D': sink_delay_ns = (uint64_t)(atof(optarg) * 1e6); break;
        case 'd': drain = atof(optarg); break;
        case 'f': first_event = next_event = (uint32_t)atoi(optarg); break;
        case 'W': wrap_events = 1; break;
        default: return 2;
    }
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    epoll_fd = epoll_create1(0);
    if (requests_path) load_requests(requests_path);
    if (sink_port) {
        if (!canned_path) { fprintf(stderr, "--sink needs --canned\n"); return 2; }
        load_canned(canned_path);
        listen_sink(sink_port);
    }
    target = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    inet_pton(AF_INET, host, &target.sin_addr);

    if (!requests_path) connections = 0;
    struct conn *clients = calloc((size_t)connections + 1, sizeof *clients);
    for (int i = 0; i < connections; i++) {
        clients[i] = (struct conn){ .kind = CLIENT, .fd = -1, .buf = malloc(BUF) };
        if (connect_client(&clients[i])) die("connect");
    }

    uint64_t start = now_ns();
    window_from = start + (uint64_t)(warmup * 1e9);
    window_to = window_from + (uint64_t)(seconds * 1e9);
    uint64_t stop = window_to + (uint64_t)(drain * 1e9), t, limit = wrap_events ? UINT32_MAX : event_count;
    struct rusage u0, u1;
    getrusage(RUSAGE_SELF, &u0);
    int first_idle = 0, exhausted = 0;

    while (!interrupted) {
        t = now_ns();
        int sending = requests_path && t < window_to;
        if (!sending && requests_path && (t > stop || (!sink_port || replied >= acked))) break;
        if (!requests_path && t > window_to) break;

        while (delayed_head < delayed_tail && delayed[delayed_head % delayed_cap].at <= t) {
            struct delayed *d = &delayed[delayed_head++ % delayed_cap];
            if (d->conn->generation == d->generation && d->conn->fd >= 0)
                write_all(d->conn->fd, canned[d->canned].response, canned[d->canned].length);
        }

        for (int tried = 0; sending && tried < connections; tried++) {
            struct conn *c = &clients[(first_idle + tried) % connections];
            if (c->busy || c->fd < 0) continue;
            if (next_event >= limit) { exhausted = 1; break; }
            if (inflight && (int64_t)(sent - replied - non_2xx - conn_errors) >= inflight) break;
            if (sink_port && next_event >= first_event + chats && !was_settled[next_event - chats]) break;
            uint64_t due = t;
            if (rate > 0) {
                due = start + (uint64_t)((double)(next_event - first_event) / rate * 1e9);
                if (due > t) break;
            }
            send_event(c, next_event++, due);
            first_idle = (first_idle + tried + 1) % connections;
            tried = -1;
        }
        if (exhausted && t < window_to) { fprintf(stderr, "ran out of events: make more\n"); return 3; }

        struct epoll_event events[256];
        int timeout = rate > 0 && sending ? 0 : delayed_head < delayed_tail ? 1 : 5;
        int n = epoll_wait(epoll_fd, events, 256, timeout);
        for (int i = 0; i < n; i++) {
            struct conn *c = events[i].data.ptr;
            if (c->kind == LISTENER) on_accept(c->fd);
            else if (c->fd >= 0) on_readable(c);
        }
    }
    getrusage(RUSAGE_SELF, &u1);
    double wall = (double)(now_ns() - start) / 1e9;
    double cpu = (double)(u1.ru_utime.tv_sec - u0.ru_utime.tv_sec + u1.ru_stime.tv_sec - u0.ru_stime.tv_sec)
               + (double)(u1.ru_utime.tv_usec - u0.ru_utime.tv_usec + u1.ru_stime.tv_usec - u0.ru_stime.tv_usec) / 1e6;
    uint64_t missing = sink_port && requests_path && acked > replied ? acked - replied : 0;
    printf("{\"seconds\":%.3f,\"sent\":%u,\"acked\":%u,\"acked_per_s\":%.1f,\"non_2xx\":%llu,\"conn_errors\":%llu", seconds, sent,
           acked, (double)window_acked / seconds, (unsigned long long)non_2xx, (unsigned long long)conn_errors);
    print_samples("ack_ms", &ack_ns);
    printf(",\"replied\":%llu,\"replied_per_s\":%.1f", (unsigned long long)replied, (double)window_replied / seconds);
    print_samples("e2e_ms", &reply_ns);
    printf(",\"missing\":%llu,\"duplicates\":%llu,\"out_of_order\":%llu,\"unmatched\":%llu,\"sink_conns\":%llu,\"loadgen_cpu\":%.3f}\n",
           (unsigned long long)missing, (unsigned long long)duplicates, (unsigned long long)out_of_order,
           (unsigned long long)unmatched, (unsigned long long)sink_conns, cpu / wall);
    return 0;
}

// The limit that the benchmarks are held against: straight C for the work that the library does, written from the same
// layout (docs/protocol.md sections 2 to 4). Built by bench/reference.ts when a compiler is there:
//   cc -O2 -o reference reference.c
//   ./reference decode|encode|table SECONDS [CONNECTIONS]     prints nanoseconds a connection
//   ./reference kernel-table FILE                             prints milliseconds of the second read of a saved table, into a hash table
//   ./reference drain                                         prints microseconds a datagram: recvmmsg from filled sockets
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEADER = 8, RECORD4 = 36, RECORD6 = 72, PER_MESSAGE = 40, MESSAGE = HEADER + PER_MESSAGE * RECORD4 };

struct connection {
  uint8_t family, protocol;
  uint16_t state, client_port, virtual_port, destination_port;
  uint32_t flags, fwmark, timeout;
  uint32_t client[4], virtual_address[4], destination[4];
  uint32_t sequence[6];
};

// Processor time, as the measures of the library take it.
static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

static uint16_t read16(const uint8_t *p) { uint16_t v; memcpy(&v, p, 2); return ntohs(v); }
static uint32_t read32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return ntohl(v); }
static void write16(uint8_t *p, uint16_t v) { v = htons(v); memcpy(p, &v, 2); }
static void write32(uint8_t *p, uint32_t v) { v = htonl(v); memcpy(p, &v, 4); }

static int states_of(unsigned protocol) {
  switch (protocol) {
    case 6: return 11;
    case 17: return 1;
    case 132: return 14;
    case 50: case 51: return 1;
    default: return -1;
  }
}

// Parameters of one record: 0 sound, -1 drop the rest, 1 skip the record.
static int read_parameters(const uint8_t *p, const uint8_t *end, struct connection *c) {
  unsigned seen = 0;
  while (p < end) {
    if (end - p < 2) return -1;
    unsigned type = p[0], length = p[1];
    const uint8_t *data = p + 2;
    if (length == 0 || length > end - data) return -1;
    unsigned known = type & ~0x40u;
    if (known >= 1 && known <= 3) {
      if (seen & (1u << known)) return -1;
      seen |= 1u << known;
      if (known == 1) {
        if (length != 24) return -1;
        for (int i = 0; i < 6; i++) c->sequence[i] = read32(data + 4 * i);
      } else if (known == 3 && length > 16) return -1;
    } else if (!(type & 0x40)) return 1;
    p = data + length;
  }
  return 0;
}

// Every check of the receiver, every field into a struct. Returns how many connections were read.
static int decode(const uint8_t *message, size_t length, struct connection *out) {
  if (length < 4 || read16(message + 2) != length) return 0;
  if (length < HEADER || message[0] != 0 || message[5] != 1 || read16(message + 6) != 0) return 0;
  const uint8_t *end = message + length, *p = message + HEADER;
  int count = message[4], read = 0;
  for (int i = 0; i < count; i++) {
    if (end - p < RECORD4) return read;
    unsigned type = p[0], ver_size = read16(p + 2), size = ver_size & 0x0fff;
    if (size > end - p || ver_size >> 12) return read;
    unsigned fixed = type & 1 ? RECORD6 : RECORD4;
    if ((!(type & 1) && type) || size < fixed) return read;
    struct connection *c = &out[read];
    c->family = type & 1 ? 6 : 4;
    c->protocol = p[1];
    c->flags = read32(p + 4);
    c->state = read16(p + 8);
    c->client_port = read16(p + 10);
    c->virtual_port = read16(p + 12);
    c->destination_port = read16(p + 14);
    c->fwmark = read32(p + 16);
    c->timeout = read32(p + 20);
    int words = type & 1 ? 4 : 1;
    for (int w = 0; w < words; w++) {
      c->client[w] = read32(p + 24 + 4 * w);
      c->virtual_address[w] = read32(p + 24 + 4 * (words + w));
      c->destination[w] = read32(p + 24 + 4 * (2 * words + w));
    }
    int verdict = size > fixed ? read_parameters(p + fixed, p + size, c) : 0;
    if (verdict < 0) return read;
    p += (size + 3) & ~3u;
    if (verdict > 0 || (c->flags & 0x1800) == 0x1800 || c->flags & 0x2000) continue;
    if (c->flags & 0x1000 ? c->state >= 2 : states_of(c->protocol) <= (int)c->state) continue;
    read++;
  }
  return read;
}

// Appends one connection where the message has room for it: the checks that any encoder of messages has to make.
static int encode(uint8_t *message, size_t *length, size_t max, const struct connection *c) {
  size_t fixed = c->family == 6 ? RECORD6 : RECORD4, at = (*length + 3) & ~(size_t)3;
  if (message[4] == 255 || at + fixed > max) return 0;
  uint8_t *p = message + at;
  p[0] = c->family == 6;
  p[1] = c->protocol;
  write16(p + 2, fixed);
  write32(p + 4, c->flags & ~0x40u);
  write16(p + 8, c->state);
  write16(p + 10, c->client_port);
  write16(p + 12, c->virtual_port);
  write16(p + 14, c->destination_port);
  write32(p + 16, c->fwmark);
  write32(p + 20, c->timeout);
  int words = c->family == 6 ? 4 : 1;
  for (int w = 0; w < words; w++) {
    write32(p + 24 + 4 * w, c->client[w]);
    write32(p + 24 + 4 * (words + w), c->virtual_address[w]);
    write32(p + 24 + 4 * (2 * words + w), c->destination[w]);
  }
  message[4]++;
  *length = at + fixed;
  return 1;
}

static void begin_message(uint8_t *message, size_t *length) {
  memset(message, 0, HEADER);
  message[1] = 7, message[5] = 1;
  *length = HEADER;
}

// Connection i of the benchmarks: the same in bench/input.ts.
static struct connection connection_of(uint32_t i) {
  struct connection c = {.family = 4, .protocol = 6, .state = 1, .client_port = 1024 + i % 60000, .virtual_port = 80,
                         .destination_port = 8080, .flags = 0x100, .fwmark = 0, .timeout = 900};
  c.client[0] = 0x0a000000u + i / 7;
  c.virtual_address[0] = 0xc0a80001u;
  c.destination[0] = 0x0a640001u + i % 16;
  return c;
}

static uint8_t *make_messages(uint32_t messages, const uint32_t *order) {
  uint8_t *all = malloc((size_t)messages * MESSAGE);
  for (uint32_t m = 0; m < messages; m++) {
    uint8_t *p = all + (size_t)m * MESSAGE;
    size_t length;
    begin_message(p, &length);
    for (int k = 0; k < PER_MESSAGE; k++) {
      struct connection c = connection_of(order[m * PER_MESSAGE + k]);
      encode(p, &length, MESSAGE, &c);
    }
    write16(p + 2, length);
  }
  return all;
}

// Open addressing, 64-byte slots, linear probing: what one would write first.
struct slot { uint32_t used, client, virtual_address, destination, ports, rest, flags, state, fwmark, timeout, deadline, packets, spare[4]; };

static uint32_t hash_of(const struct connection *c) {
  uint32_t h = c->client[0] * 0x9e3779b1u;
  h = (h ^ (h >> 15) ^ ((uint32_t)c->client_port << 16 | c->virtual_port)) * 0x85ebca6bu;
  h = (h ^ (h >> 13) ^ c->virtual_address[0] ^ c->protocol) * 0xc2b2ae35u;
  return h ^ (h >> 16);
}

static void upsert(struct slot *table, uint32_t mask, const struct connection *c, uint32_t second) {
  uint32_t ports = (uint32_t)c->client_port << 16 | c->virtual_port, rest = (uint32_t)c->protocol << 16 | c->destination_port;
  for (uint32_t i = hash_of(c) & mask;; i = (i + 1) & mask) {
    struct slot *s = &table[i];
    if (s->used && (s->client != c->client[0] || s->virtual_address != c->virtual_address[0] || s->ports != ports)) continue;
    s->used = 1;
    s->client = c->client[0];
    s->virtual_address = c->virtual_address[0];
    s->destination = c->destination[0];
    s->ports = ports;
    s->rest = rest;
    s->flags = c->flags;
    s->state = c->state;
    s->fwmark = c->fwmark;
    s->timeout = c->timeout;
    s->deadline = second + c->timeout;
    s->packets = 3;
    return;
  }
}

static uint32_t *order_of(uint32_t connections, int shuffled) {
  uint32_t *order = malloc(sizeof *order * connections), seed = 1;
  for (uint32_t i = 0; i < connections; i++) order[i] = i;
  for (uint32_t i = connections - 1; shuffled && i > 0; i--) {
    seed ^= seed << 13, seed ^= seed >> 17, seed ^= seed << 5;
    uint32_t j = seed % (i + 1), t = order[i];
    order[i] = order[j], order[j] = t;
  }
  return order;
}

static void time_decode(double seconds, uint32_t connections, int into_table) {
  uint32_t messages = connections / PER_MESSAGE, size = 1;
  uint8_t *all = make_messages(messages, order_of(connections, into_table));
  struct connection out[PER_MESSAGE] = {0};
  while (size < connections * 2) size <<= 1;
  struct slot *table = into_table ? calloc(size, sizeof *table) : NULL;
  volatile uint32_t sink = 0;
  for (int warm = 1; warm >= 0; warm--) {
    double begin = now(), end = begin;
    uint64_t done = 0;
    while (end - begin < (warm ? 0.2 : seconds)) {
      for (uint32_t m = 0; m < messages; m++) {
        int n = decode(all + (size_t)m * MESSAGE, MESSAGE, out);
        for (int k = 0; into_table && k < n; k++) upsert(table, size - 1, &out[k], (uint32_t)begin);
        sink += out[m % PER_MESSAGE].client[0];
        done += n;
      }
      end = now();
    }
    if (!warm) printf("%.3f\n", (end - begin) * 1e9 / done);
  }
}

static void time_encode(double seconds, uint32_t connections) {
  struct connection *all = malloc(sizeof *all * connections);
  for (uint32_t i = 0; i < connections; i++) all[i] = connection_of(i);
  static uint8_t buffer[MESSAGE];
  volatile uint32_t sink = 0;
  for (int warm = 1; warm >= 0; warm--) {
    double begin = now(), end = begin;
    uint64_t done = 0;
    while (end - begin < (warm ? 0.2 : seconds)) {
      size_t length;
      begin_message(buffer, &length);
      for (uint32_t i = 0; i < connections; i++) {
        if (encode(buffer, &length, MESSAGE, &all[i])) continue;
        write16(buffer + 2, length);
        sink += buffer[i % MESSAGE];
        begin_message(buffer, &length);
        encode(buffer, &length, MESSAGE, &all[i]);
      }
      done += connections;
      end = now();
    }
    if (!warm) printf("%.3f\n", (end - begin) * 1e9 / done);
  }
}

static void time_drain(void) {
  enum { SOCKETS = 16, EACH = 3000, BATCH = 64 };
  int fds[SOCKETS], size = 4194304;
  uint8_t *message = make_messages(1, order_of(PER_MESSAGE, 0));
  int sender = socket(AF_INET, SOCK_DGRAM, 0);
  for (int s = 0; s < SOCKETS; s++) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    fds[s] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    setsockopt(fds[s], SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (bind(fds[s], (void *)&address, sizeof address)) perror("bind"), exit(1);
    getsockname(fds[s], (void *)&address, &length);
    for (int i = 0; i < EACH; i++) sendto(sender, message, MESSAGE, 0, (void *)&address, sizeof address);
  }
  static uint8_t buffers[BATCH][2048];
  struct mmsghdr headers[BATCH];
  struct iovec vectors[BATCH];
  struct connection out[PER_MESSAGE];
  for (int i = 0; i < BATCH; i++) {
    vectors[i] = (struct iovec){buffers[i], sizeof buffers[i]};
    memset(&headers[i], 0, sizeof headers[i]);
    headers[i].msg_hdr.msg_iov = &vectors[i];
    headers[i].msg_hdr.msg_iovlen = 1;
  }
  double begin = now();
  uint64_t received = 0, connections = 0;
  for (int s = 0; s < SOCKETS; s++)
    for (int n; (n = recvmmsg(fds[s], headers, BATCH, 0, NULL)) > 0; received += n)
      for (int i = 0; i < n; i++) connections += decode(buffers[i], headers[i].msg_len, out);
  printf("%.4f\n", (now() - begin) * 1e6 / received);
  if (connections != received * PER_MESSAGE) fprintf(stderr, "read %lu of %lu\n", connections, received * PER_MESSAGE), exit(1);
}

// A saved /proc/net/ip_vs_conn, read as one would first write it: lines by columns, IPv4 and IPv6 addresses, state by name.
struct table_line { uint32_t client[4], virtual_address[4], destination[4], ports, rest, seconds; };
struct table_slot { uint32_t used; struct table_line line; uint32_t deadline, look, announced, state; };

static const uint8_t *skip_spaces(const uint8_t *p) { while (*p == ' ') p++; return p; }

static const uint8_t *read_hex(const uint8_t *p, uint32_t *value) {
  static const int8_t digits[256] = {['0'] = 1, ['1'] = 2, ['2'] = 3, ['3'] = 4, ['4'] = 5, ['5'] = 6, ['6'] = 7, ['7'] = 8, ['8'] = 9, ['9'] = 10,
    ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16};
  uint32_t v = 0;
  for (; digits[*p]; p++) v = v << 4 | (uint32_t)(digits[*p] - 1);
  *value = v;
  return p;
}

static const uint8_t *read_address(const uint8_t *p, uint32_t *words) {
  uint32_t first, low;
  p = read_hex(skip_spaces(p), &first);
  words[0] = first, words[1] = words[2] = words[3] = 0;
  if (*p != ':') return p;
  for (int i = 0; i < 8; i++) {
    low = first;
    words[i >> 1] = i & 1 ? words[i >> 1] << 16 | low : low;
    if (i < 7) p = read_hex(p + 1, &first);
  }
  return p;
}

static const uint8_t *read_line(const uint8_t *p, struct table_line *line) {
  uint32_t protocol = p[0] == 'T' ? 6 : p[0] == 'U' ? 17 : 132, client_port, virtual_port, destination_port, state = 0, seconds = 0;
  while (*p != ' ') p++;
  p = read_hex(skip_spaces(read_address(p, line->client)), &client_port);
  p = read_hex(skip_spaces(read_address(p, line->virtual_address)), &virtual_port);
  p = read_hex(skip_spaces(read_address(p, line->destination)), &destination_port);
  for (p = skip_spaces(p); *p != ' '; p++) state = state * 31 + *p;
  for (p = skip_spaces(p); *p >= '0' && *p <= '9'; p++) seconds = seconds * 10 + *p - '0';
  while (*p++ != '\n');
  line->ports = client_port << 16 | virtual_port;
  line->rest = protocol << 24 | (state & 0xff) << 16 | destination_port;
  line->seconds = seconds;
  return p;
}

static void read_table(const char *path) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) perror(path), exit(1);
  fseek(file, 0, SEEK_END);
  size_t length = ftell(file), lines = 0, size = 1;
  uint8_t *text = malloc(length + 1);
  double spent = 0;
  struct table_slot *table = NULL;
  for (uint32_t look = 1; look <= 2; look++) {
    double begin = now();
    rewind(file);
    if (fread(text, 1, length, file) != length) perror(path), exit(1);
    text[length] = 0;
    if (table == NULL) {
      for (size_t i = 0; i < length; i++) lines += text[i] == '\n';
      while (size < lines * 2) size <<= 1;
      table = calloc(size, sizeof *table);
    }
    const uint8_t *p = memchr(text, '\n', length);
    for (p++; *p;) {
      struct table_line line;
      p = read_line(p, &line);
      uint32_t h = (line.client[0] ^ line.client[1] ^ line.client[2] ^ line.client[3]) * 0x9e3779b1u;
      h = (h ^ (h >> 15) ^ line.ports) * 0x85ebca6bu;
      h = (h ^ (h >> 13) ^ line.virtual_address[0] ^ line.virtual_address[3] ^ line.rest >> 24) * 0xc2b2ae35u;
      for (uint32_t i = (h ^ h >> 16) & (size - 1);; i = (i + 1) & (size - 1)) {
        struct table_slot *s = &table[i];
        if (s->used && (memcmp(&s->line, &line, 32) || s->line.ports != line.ports || (s->line.rest ^ line.rest) >> 24)) continue;
        int changed = !s->used || s->state != (line.rest & 0xff0000);
        s->used = 1, s->line = line, s->deadline = 1000 + line.seconds, s->look = look, s->state = line.rest & 0xff0000;
        if (changed) s->announced = look;
        break;
      }
    }
    spent = now() - begin;
  }
  printf("%.4f\n", spent * 1e3);
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  double seconds = argc > 2 ? atof(argv[2]) : 1;
  uint32_t connections = argc > 3 ? strtoul(argv[3], NULL, 10) : 40000;
  if (!strcmp(what, "decode")) time_decode(seconds, connections, 0);
  else if (!strcmp(what, "table")) time_decode(seconds, connections, 1);
  else if (!strcmp(what, "encode")) time_encode(seconds, connections);
  else if (!strcmp(what, "kernel-table") && argc > 2) read_table(argv[2]);
  else if (!strcmp(what, "drain")) time_drain();
  else return fprintf(stderr, "usage: reference decode|encode|table SECONDS [CONNECTIONS] | kernel-table FILE | drain\n"), 2;
  return 0;
}

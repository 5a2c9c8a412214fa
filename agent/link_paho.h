/* One MQTT 5 client over mutual TLS, with Eclipse Paho's MQTTAsync: the inside of link.c.
 *
 * Paho calls back in threads of its own; those callbacks only put notes into a box, which wakes
 * the agent's thread. All functions here are for that one thread. */
#pragma once

#include "link.h"

enum paho_note_kind {
	PAHO_CONNECTED,
	PAHO_CONNECT_FAILED,
	PAHO_SUBSCRIBED,
	PAHO_SUBSCRIBE_FAILED,
	PAHO_LOST,
	PAHO_DROPPED, /* a message was dropped here: the connection stands and must end */
	PAHO_CLOSED,
	PAHO_MESSAGE,
};

/* What a callback leaves for the agent's thread. */
struct paho_note {
	struct paho_note *next;
	enum paho_note_kind kind;
	unsigned connection; /* the number that paho_connect() was given */
	struct ota_why why;
	const char *topic; /* PAHO_MESSAGE: this and the next two live as long as the note */
	const uint8_t *payload;
	size_t len;
	void *message;
};

struct paho_box; /* opaque: notes in the order in which they were put, and an eventfd */

enum ota_err paho_box_new(struct paho_box **ret_box, struct ota_why *why) OTA_CHECKED;
void paho_box_free(struct paho_box *box); /* NULL is fine */
int paho_box_fd(const struct paho_box *box);
/* The next note, or NULL; the caller ends it. */
struct paho_note *paho_box_take(struct paho_box *box);
void paho_note_free(struct paho_note *note); /* NULL is fine */
/* True, once, when what happened could not be noted for want of memory: nobody knows how the
 * connection stands. */
bool paho_box_lost_one(struct paho_box *box);
/* The connection came about: the next failure is the first of a row again. */
void paho_box_forget_failures(struct paho_box *box);

struct paho; /* opaque: one client */

enum ota_err paho_new(const struct link_options *options, const char *uri, struct paho_box *box,
		      struct paho **ret_paho, struct ota_why *why) OTA_CHECKED;
/* Ends whatever it is doing. A callback of it that is still running finds its memory: that is
 * given back only a few clients later, and by paho_box_free(). */
void paho_free(struct paho *paho); /* NULL is fine */
/* Notes of this attempt and what follows from it carry the number. The answer is a note. */
enum ota_err paho_connect(struct paho *paho, unsigned connection,
			  struct ota_why *why) OTA_CHECKED;
/* PAHO_CLOSED follows, usually. */
enum ota_err paho_disconnect(struct paho *paho, int timeout_ms,
			     struct ota_why *why) OTA_CHECKED;
enum ota_err paho_subscribe(struct paho *paho, char *const *topics, const int *qos, int count,
			    struct ota_why *why) OTA_CHECKED;
/* OTA_BUSY when too much waits to be sent. A client that turns out to be disconnected puts
 * PAHO_LOST, too. */
enum ota_err paho_publish(struct paho *paho, const char *topic, const void *payload, size_t len,
			  int qos, struct ota_why *why) OTA_CHECKED;

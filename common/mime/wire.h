#ifndef MIME_WIRE_H
#define MIME_WIRE_H

/*
 * Between mime.c and mailstead-parse: run/parse.sock, SOCK_SEQPACKET.  A
 * question is one packet, a JSON object {"job": NAME, ...}, with the message's
 * descriptor (SCM_RIGHTS, a regular file open for reading).  A connection
 * takes any number of them, without waiting for answers, and answers in their
 * order.  An answer is packets that begin with a tag:
 *
 *	B    what the data is (some jobs)
 *	D    data
 *	J    JSON text, a piece of it
 *	E    the last piece of the JSON text; the answer's end
 *	F    refused: a text; the answer's end
 *
 * A connection that ends otherwise: the parser died.
 *
 * Jobs: summary; structure; view {prefer_plain}; headers {path}; part {path}; text {path};
 * html {path, remote_pictures, cid_prefix, mail_url}.  Their answers: mime.h.
 */
enum {
	WIRE_PACKET_MAX = 65536,
	WIRE_JSON_MAX = 8 * 1024 * 1024,
	WIRE_BEGIN = 'B',
	WIRE_DATA = 'D',
	WIRE_JSON = 'J',
	WIRE_END = 'E',
	WIRE_REFUSED = 'F',
};

#endif /* MIME_WIRE_H */

#ifndef MIME_WIRE_H
#define MIME_WIRE_H

/*
 * Between mime.c and mailstead-parse: run/parse.sock, SOCK_SEQPACKET, one job
 * a connection.  The question is one packet, a JSON object {"job": NAME, ...},
 * with the message's descriptor (SCM_RIGHTS, a regular file open for reading).
 * The answer is packets that begin with a tag:
 *
 *	J, J, ... E            JSON text in pieces
 *	B, D, D, ... J... E    what is to come, data, and a JSON text
 *	F                      refused: a text; nothing follows
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

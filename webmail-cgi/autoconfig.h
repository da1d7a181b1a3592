#ifndef WEBMAIL_CGI_AUTOCONFIG_H
#define WEBMAIL_CGI_AUTOCONFIG_H

#include "webmail-cgi/webmail.h"

/*
 * Setting up mail programs (directory/client_config.h).  The addresses
 * programs ask by themselves lie outside the prefix and answer everybody, by
 * the domain alone, so they say nothing about who has an account:
 *
 *	GET  /.well-known/autoconfig/mail/config-v1.1.xml[?emailaddress=A]
 *	GET  /mail/config-v1.1.xml[?emailaddress=A]
 *	POST /autodiscover/autodiscover.xml   (in any case)
 */
bool autoconfig_answer(struct web_request *r, struct web_response *w);

/* /settings/program, and the profile for Apple's programs. */
void program_page(struct web_request *r, struct web_response *w);
void program_profile(struct web_request *r, struct web_response *w);

#endif /* WEBMAIL_CGI_AUTOCONFIG_H */

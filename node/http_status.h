#pragma once
/* The reason phrase of a status that Gito answers with (RFC 9110, 15; RFC 6585). */
const char *http_status_phrase(int status);

#ifndef BASE_COMPILER_H
#define BASE_COMPILER_H

/* Attributes that let the compiler check a contract, under readable names. */

#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define MUST_CHECK             __attribute__((warn_unused_result))
#define NORETURN               __attribute__((noreturn))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif /* BASE_COMPILER_H */

# pg_trickle: two libraries from one PGXS Makefile.
#   make, make install, make test, make demo, make lint, make format, make bench

EXTENSION    = pg_trickle
MODULE_big   = pg_trickle
OBJS         = $(patsubst %.c,%.o,$(sort $(wildcard applier/*.c applier/*/*.c))) \
               decoder/wire_read.o decoder/wire_write.o
DECODER      = pg_trickle_decoder
DECODER_OBJS = $(patsubst %.c,%.o,$(sort $(wildcard decoder/*.c)))
PG_CPPFLAGS  = -I$(srcdir)
PG_CFLAGS    = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers
DATA         = $(wildcard sql/pg_trickle--*.sql)
EXTRA_CLEAN  = $(DECODER)$(DLSUFFIX) decoder/*.o decoder/*.bc

PG_CONFIG   ?= pg_config
with_llvm    = no
PGXS        := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)
override with_llvm = no

all: $(DECODER)$(DLSUFFIX)

$(DECODER)$(DLSUFFIX): $(DECODER_OBJS)
	$(CC) $(CFLAGS) $(CFLAGS_SL) $^ $(LDFLAGS) $(LDFLAGS_SL) -shared -o $@

install: install-decoder
install-decoder: $(DECODER)$(DLSUFFIX)
	$(INSTALL_SHLIB) $< '$(DESTDIR)$(pkglibdir)/'
uninstall: uninstall-decoder
uninstall-decoder:
	rm -f '$(DESTDIR)$(pkglibdir)/$(DECODER)$(DLSUFFIX)'

# every object depends on every header: the tree is small, a stale object is dear
$(OBJS) $(DECODER_OBJS): $(wildcard decoder/*.h applier/*.h applier/*/*.h)

.PHONY: install-decoder uninstall-decoder

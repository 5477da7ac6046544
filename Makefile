# pg_trickle: two libraries from one PGXS Makefile.  "make help" lists targets.

EXTENSION    = pg_trickle pg_trickle_pgivm
MODULE_big   = pg_trickle
OBJS         = $(patsubst %.c,%.o,$(sort $(wildcard applier/*.c applier/*/*.c decoder/wire*.c)))
DECODER      = pg_trickle_decoder
DECODER_OBJS = $(patsubst %.c,%.o,$(sort $(wildcard decoder/*.c)))
PG_CPPFLAGS  = -I$(srcdir)
PG_CFLAGS    = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers
DATA         = $(wildcard sql/pg_trickle--*.sql sql/pg_trickle_pgivm--*.sql)
EXTRA_CLEAN  = $(DECODER)$(DLSUFFIX) decoder/*.o decoder/*.bc .build_stamp

# run in this order, in one database; extension comes first and stays installed
REGRESS = \
	extension \
	names \
	guard_dml \
	ddl_stream_table \
	ddl_source \
	security \
	monitor_status \
	monitor_history \
	monitor_sources \
	exact_float \
	exact_float_refresh \
	wire \
	decoder_setup \
	decoder_changes \
	decoder_catalog \
	decoder_toast \
	decoder_identity \
	decoder_partitions \
	decoder_truncate \
	decoder_transactions \
	decoder_types \
	decoder_ddl \
	decoder_moved \
	decoder_origin \
	capture_statement \
	capture_partitions \
	capture_inheritance \
	capture_transactions \
	capture_columns \
	cdc_mode \
	immediate_statements \
	immediate_modes \
	pgivm \
	settings \
	sqlstates \
	api_create \
	api_alter \
	alter_readers \
	api_coordination \
	api_bulk \
	append_only \
	frontier \
	refresh_transactions \
	refresh_reads \
	refresh_lucky \
	refresh_cycles \
	dvm_setup \
	dvm_joins \
	dvm_outer_joins \
	dvm_sublinks \
	dvm_correlated \
	dvm_lateral \
	dvm_outer_cost \
	dvm_aggregates \
	dvm_distinct \
	dvm_union_all \
	dvm_setops \
	dvm_srf \
	dvm_grouping_sets \
	dvm_cte \
	dvm_recursive \
	dvm_whole_rows \
	dvm_polling \
	dvm_laws \
	dvm_subqueries \
	dvm_views \
	dvm_expressions \
	dvm_refusals \
	dvm_window \
	dvm_window_shapes \
	dvm_count_distinct \
	dvm_distinct_on \
	dvm_topk \
	dvm_topk_random \
	dvm_window_cost \
	dvm_operators \
	dvm_versions \
	dvm_plans \
	dvm_sources \
	dvm_keys \
	reduce_moving \
	reduce_extremes \
	reduce_recompute \
	reduce_keys \
	apply_rows \
	schedule_parse \
	schedule_cron

# "make test" runs these and everything else; "make installcheck" runs only
# these, against a running server that has the library preloaded
REGRESS_OPTS = --dbname=pg_trickle_regress

PG_CONFIG   ?= pg_config
with_llvm    = no
PGXS        := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
include $(PGXS)
override with_llvm = no

ifeq ($(PGXS),)
all install:
	$(error no $(PG_CONFIG) here: "make test" and "make demo" install PostgreSQL, or set PG_CONFIG)
else
all: $(DECODER)$(DLSUFFIX)

$(DECODER)$(DLSUFFIX): $(DECODER_OBJS)
	$(CC) $(CFLAGS) $(CFLAGS_SL) $^ $(LDFLAGS) $(LDFLAGS_SL) -Wl,-Bsymbolic -shared -o $@

install: install-decoder
install-decoder: $(DECODER)$(DLSUFFIX)
	$(INSTALL_SHLIB) $< '$(DESTDIR)$(pkglibdir)/'
uninstall: uninstall-decoder
uninstall-decoder:
	rm -f '$(DESTDIR)$(pkglibdir)/$(DECODER)$(DLSUFFIX)'

# Every object depends on every header, and on the server and flags it was
# built for: the tree is small, a stale object is dear.
BUILT_FOR := $(shell $(PG_CONFIG) --version --includedir-server 2>/dev/null) $(COPT) $(PROFILE)
$(shell echo '$(BUILT_FOR)' | cmp -s - .build_stamp || { echo '$(BUILT_FOR)' >.build_stamp; } 2>/dev/null)
$(OBJS) $(DECODER_OBJS): $(wildcard decoder/*.h applier/*.h applier/*/*.h) .build_stamp
endif

# ---- for people; the scripts say what each does ----

export PG_CONFIG
help:
	@echo 'make [PG_CONFIG=...]  build for the server that pg_config belongs to'
	@echo 'make install          install into that server'
	@echo 'make demo             a shop, its stream tables and a writing load, live'
	@echo 'make test             build, install, run every test'
	@echo 'make bench            measure; see docs/performance.md'
	@echo 'make lint             warnings as errors, scripts checked'
	@echo 'make format           lay out the C sources by .clang-format'
	@echo 'make valgrind         the regression tests under valgrind'
	@echo 'make fuzz             damaged change batches against their reader, with sanitizers'
	@echo 'make sanitize         the regression tests with address and undefined sanitizers'
demo:
	@tools/demo.sh
test:
	@tools/test.sh $(TESTS)
bench:
	@bench/run.sh
lint:
	@tools/lint.sh
format:
	@tools/format.sh
valgrind:
	@tools/memcheck.sh valgrind
sanitize:
	@tools/memcheck.sh sanitize
fuzz:
	@tools/fuzz.sh $(SEED) $(COUNT)

.PHONY: install-decoder uninstall-decoder help demo test bench lint format valgrind sanitize fuzz

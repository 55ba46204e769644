"""The admin API under /admin/api, with the power of the command line. Its pages do their acts by the same functions."""

"""The administrators' pages: what the admin API does, for people."""

from gateway.console.pages.admin import calls, money, overview, people, person, system

PAGES = (
    *overview.PAGES,
    *people.PAGES,
    *person.PAGES,
    *calls.PAGES,
    *money.PAGES,
    *system.PAGES,
)

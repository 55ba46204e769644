"""All pages of the console, module by module."""

from gateway.console.pages import (
    admin,
    chat,
    credits,
    docs,
    keys,
    landing,
    models,
    oidc,
    overview,
    settings,
    sign_in,
    usage,
)

PAGES = (
    *landing.PAGES,
    *chat.PAGES,
    *models.PAGES,
    *docs.PAGES,
    *sign_in.PAGES,
    *oidc.PAGES,
    *overview.PAGES,
    *keys.PAGES,
    *usage.PAGES,
    *credits.PAGES,
    *settings.PAGES,
    *admin.PAGES,
)

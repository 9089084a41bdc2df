from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_cache_control

from kit.doors import open_door
from whitelabel.resolve import brand_for

YEAR = 365 * 24 * 3600


@open_door("the sign-in page needs its colours too")
def brand_css(request: HttpRequest) -> HttpResponse:
    """The colours of this host's brand. Its address carries their hash, so it may be kept for a year."""
    brand = brand_for(getattr(request, "site", None))
    response = HttpResponse(brand.css, content_type="text/css; charset=utf-8")
    if request.GET.get("v") == brand.css_hash:
        patch_cache_control(response, public=True, max_age=YEAR, immutable=True)
    else:
        patch_cache_control(response, public=True, max_age=60)
    return response

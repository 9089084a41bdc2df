from django.urls import path

from whitelabel import views

urlpatterns = [path("brand.css", views.brand_css, name="brand_css")]

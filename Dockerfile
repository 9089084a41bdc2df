FROM python:3.13-slim AS build
WORKDIR /canopy
COPY requirements/base.txt requirements/
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements/base.txt
ENV PATH=/venv/bin:$PATH
COPY . .
# The manifest of static files is part of the image; no variable of the build reaches what runs.
RUN CANOPY_ENV=production SECRET_KEY=$(python -c "import secrets; print(secrets.token_urlsafe(64))") BASE_DOMAIN=build.example \
    DATABASE_URL=postgresql:///none REDIS_URL=redis://none SMTP_HOST=none \
    python manage.py collectstatic --noinput --verbosity 0

FROM python:3.13-slim
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin canopy
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /canopy
COPY --from=build /venv /venv
COPY --from=build /canopy /canopy
RUN mkdir -p var/media && chown -R canopy var
USER canopy
EXPOSE 8000
CMD ["gunicorn", "config.wsgi", "--config", "python:config.web_server"]

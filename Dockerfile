# One image per component: ARG COMPONENT is gateway, auth, vault, provisioner, dns or reputation.
# The same image serves as API, worker and migration job; the command says which.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG COMPONENT
COPY requirements/${COMPONENT}.txt /tmp/requirements.txt
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r /tmp/requirements.txt

FROM ${PYTHON_IMAGE}
ARG COMPONENT
RUN useradd --system --uid 10001 --no-create-home sendchief
COPY --from=build /venv /venv
WORKDIR /app
COPY alembic.ini ./
COPY shared ./shared
# The gateway lies at the top, services below services/; only the component's own code is in its image.
RUN --mount=type=bind,target=/source \
    if [ -d "/source/services/${COMPONENT}" ]; then \
      mkdir services && cp /source/services/__init__.py services/ && cp -r "/source/services/${COMPONENT}" services/; \
    else cp -r "/source/${COMPONENT}" .; fi
USER 10001
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 COMPONENT=${COMPONENT}
CMD ["sh", "-c", "if [ -d services ]; then exec python -m shared.web.serve services.${COMPONENT}.app; else exec python -m ${COMPONENT}; fi"]

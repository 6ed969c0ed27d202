"use strict";

// Shows the contract that this server serves. Everything comes from the server
// itself: validatorUrl is off because it would send the contract elsewhere.
window.addEventListener("load", () => {
  window.ui = SwaggerUIBundle({
    url: "openapi.yaml",
    dom_id: "#swagger-ui",
    deepLinking: true,
    displayRequestDuration: true,
    tryItOutEnabled: true,
    validatorUrl: null,
    presets: [SwaggerUIBundle.presets.apis],
  });
});

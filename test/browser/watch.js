// watchPage collects everything that a page does which the documentation page
// must not do, as lines that start with the kind:
//
//	console    a message of level error or warning
//	exception  an error that nobody caught
//	failed     a request without an answer
//	origin     a request to anywhere but the server
//	policy     something that the Content-Security-Policy stopped
//
// Call it before the page is opened. The list grows while the page lives; what
// happened before a call of page.evaluate is in it when the call returns, but for
// the policy's reports, which the browser delivers as tasks of their own: see settle.
export async function watchPage(page, url) {
  const complaints = [];
  const { origin } = new URL(url);
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) {
      complaints.push(`console ${message.type()}: ${message.text()} (${message.location().url})`);
    }
  });
  page.on("pageerror", (error) => complaints.push(`exception ${error.stack ?? error}`));
  page.on("requestfailed", (request) => {
    complaints.push(`failed ${request.method()} ${request.url()}: ${request.failure()?.errorText}`);
  });
  page.on("request", (request) => {
    const target = new URL(request.url());
    // Icons in the style sheet are data: URLs, which ask nobody.
    if (target.protocol !== "data:" && target.origin !== origin) complaints.push(`origin ${target}`);
  });
  await page.exposeFunction("reportViolation", (text) => complaints.push(`policy ${text}`));
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => {
      const { effectiveDirective, blockedURI, sourceFile, lineNumber, columnNumber } = event;
      const source = event.target.outerHTML?.slice(0, 200) ?? "";
      window.reportViolation(
        `${effectiveDirective} stopped ${blockedURI} (${sourceFile}:${lineNumber}:${columnNumber}) ${source}`,
      );
    });
  });
  return complaints;
}

// settle waits until the page has done what was queued: a frame, and the tasks
// before it.
export async function settle(page) {
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => setTimeout(done))));
}

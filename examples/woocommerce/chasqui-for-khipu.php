<?php
/**
 * Plugin Name: Chasqui for Khipu
 * Description: Puts Khipu's WooCommerce plugin behind a Chasqui gateway, and shows the status of the transfer on the thank-you page.
 * Version: 0.2.0
 * Requires PHP: 7.4
 * License: MIT OR Apache-2.0
 *
 * A must-use plugin: copy it to wp-content/mu-plugins and define CHASQUI_URL and CHASQUI_API_KEY in wp-config.php.
 */

namespace Chasqui;

if (!defined('ABSPATH') || !defined('CHASQUI_URL') || !defined('CHASQUI_API_KEY')) {
    return;
}

/** What Khipu's plugin calls. */
const KHIPU = 'https://payment-api.khipu.com/';

/** WordPress gives up after 5 s, but Khipu may need longer to create a payment. */
const TIMEOUT_SECONDS = 15;

/** For the list of payment methods, on which pages of the shop wait. */
const METHODS_TIMEOUT_SECONDS = 5;

/** How long the list of payment methods is used before it is read again; after a failure, sooner. */
const METHODS_SECONDS = 600;
const METHODS_RETRY_SECONDS = 60;

add_filter('pre_http_request', __NAMESPACE__ . '\send_to_gateway', 10, 3);
add_filter('pre_option_woocommerce_gateway_khipu_payment_methods', __NAMESPACE__ . '\payment_methods');
add_action('woocommerce_thankyou', __NAMESPACE__ . '\show_status', 5);

/** Sends a request for Khipu to the gateway instead, with the gateway's key. Its answer has Khipu's form. */
function send_to_gateway($answer, $arguments, $url)
{
    if ($answer !== false || strncasecmp($url, KHIPU, strlen(KHIPU)) !== 0) {
        return $answer;
    }
    $answer = call(substr($url, strlen(KHIPU)), ['timeout' => TIMEOUT_SECONDS] + $arguments);
    if (!is_wp_error($answer)) {
        return $answer;
    }
    // Khipu's plugin ends with a fatal error at a WP_Error, but shows an answer of Khipu's.
    error_log('no answer from Chasqui: ' . $answer->get_error_message());
    return [
        'headers' => [],
        'body' => '{"status":502,"message":"No se pudo contactar al servicio de pagos. Intente nuevamente.","errors":[]}',
        'response' => ['code' => 502, 'message' => 'Bad Gateway'],
        'cookies' => [],
        'filename' => null,
    ];
}

/**
 * The option in which Khipu's plugin caches the payment methods of the account. The plugin reads them with curl, past
 * WordPress, where the option is older than 30 seconds; here it never is.
 */
function payment_methods($value)
{
    $receiver_id = receiver_id();
    if ($receiver_id === '') {
        return $value;
    }
    $name = 'chasqui_khipu_methods_' . $receiver_id;
    $known = get_transient($name) ?: ['body' => 'null', 'due_at' => 0];
    if ($known['due_at'] <= time()) {
        $answer = call("v3/merchants/$receiver_id/paymentMethods", ['timeout' => METHODS_TIMEOUT_SECONDS]);
        if (wp_remote_retrieve_response_code($answer) === 200) {
            $known = ['body' => wp_remote_retrieve_body($answer), 'due_at' => time() + METHODS_SECONDS];
        } else {
            // The last list stays in use.
            error_log("Chasqui does not answer with Khipu's payment methods");
            $known['due_at'] = time() + METHODS_RETRY_SECONDS;
        }
        set_transient($name, $known, WEEK_IN_SECONDS);
    }
    return ['methods' => json_decode($known['body']), 'ts' => time()];
}

/** Shows the payer the status, if the order is paid by Khipu. The status token is in the fragment of the page's address. */
function show_status($order_id)
{
    $order = wc_get_order($order_id);
    if (!$order || strpos($order->get_payment_method(), 'khipu') !== 0) {
        return;
    }
    printf(
        '<script type="module" src="%s"></script><chasqui-status>%s</chasqui-status>',
        esc_url(untrailingslashit(CHASQUI_URL) . '/js/chasqui.js'),
        esc_html(wc_get_order_status_name($order->get_status()))
    );
}

function call($path, $arguments)
{
    $headers = array_change_key_case($arguments['headers'] ?? []);
    $headers['x-api-key'] = CHASQUI_API_KEY;
    // The gateway does not redirect; a server in its place must not get the key passed on.
    $more = ['headers' => $headers, 'redirection' => 0];
    return wp_remote_request(untrailingslashit(CHASQUI_URL) . "/$path", $more + $arguments);
}

/** The account's id, as the shop set it in one of the two methods of Khipu's plugin. */
function receiver_id()
{
    foreach (['khipusimplifiedtransfer', 'khipuregulartransfer'] as $method) {
        $settings = get_option("woocommerce_{$method}_settings");
        if (is_array($settings) && ctype_digit((string) ($settings['receiver_id'] ?? ''))) {
            return (string) $settings['receiver_id'];
        }
    }
    return '';
}
